-- What `benches/writer.rs` commits, by pgbench: :releases releases with one statement, which is a transaction, each the
-- same 17 rows in the same tables.
--
-- Ids are of version 7 in all but their version: the time, chance, and a number.
\set chance random(0, 9223372036854775806)
WITH one AS MATERIALIZED (
  SELECT encode(stem || int2send((2 * place)::int2), 'hex')::uuid AS id,
         encode(stem || int2send((2 * place + 1)::int2), 'hex')::uuid AS other,
         encode(stem || int2send((2 * place)::int2), 'hex') AS digits,
         at
  FROM (SELECT substring(int8send((extract(epoch FROM now()) * 1000)::int8) FROM 3) || int8send(:chance::int8) AS stem,
               (extract(epoch FROM now()) * 1000000)::int8 AS at) drawn,
       generate_series(1, :releases::int4) AS place
), share (place, recipient, gross, fee) AS (
  VALUES (0, 'rec_ana', 140000, 7000), (1, 'rec_ben', 60000, 3000)
), booked AS (
  INSERT INTO batches (id, kind, escrow_id, project_id, milestone_id, scheduled_by, currency, amount_minor,
    deductions_minor, fee_minor, fee_tax_minor, tax_minor, total_net_minor, model_version, model_hash, as_of, due_at,
    approvals_required, approvals_given, fingerprint, job_id, items_count, status, created_at, updated_at, revision)
  SELECT id, 'release', 'esc_' || digits, 'prj_bench', 'ms_1', 'usr_cli', 'USD', 200000, 0, 10000, 0, 0, 190000, 1,
    decode(repeat('a5', 32), 'hex'), at, at, 0, 0, decode(repeat('5a', 32), 'hex'), id, 2, 'scheduled', at, at, 1
  FROM one ON CONFLICT (escrow_id) DO NOTHING RETURNING id
), inputs AS (
  INSERT INTO batch_inputs (batch_id, inputs)
  SELECT id, '{"counts":[],"deductions":[],"parties":{}}' FROM one
), items AS (
  INSERT INTO items (id, batch_id, seq, recipient_id, amount_minor, fee_minor, tax_minor, net_minor, payable_minor,
    reversed_minor, taken_minor, attempts, retries, status, created_at, updated_at, revision)
  SELECT CASE place WHEN 0 THEN id ELSE other END, id, place, recipient, gross, fee, 0, gross - fee, gross - fee,
    0, 0, 0, 0, 'scheduled', at, at, 1
  FROM one, share
), lines AS (
  INSERT INTO batch_lines (batch_id, seq, recipient_id, item_id, gross_minor, fee_minor, fee_tax_minor, tax_minor,
    taxes, carried_in_minor, recovered_minor, carried_forward_minor, payable_minor)
  SELECT id, place, recipient, CASE place WHEN 0 THEN id ELSE other END, gross, fee, 0, 0, '[]', 0, 0, 0, gross - fee
  FROM one, share
), entries AS (
  INSERT INTO ledger_entries (transaction_id, seq, account_kind, account_subject, currency, amount_minor)
  SELECT CASE WHEN is_first THEN id ELSE other END, seq, kind,
    CASE kind WHEN 'escrow' THEN 'esc_' || digits ELSE subject END, 'USD', amount
  FROM one, (VALUES
    (true, 0, 'escrow_receivable', '', 200000), (true, 1, 'escrow', '', -200000),
    (false, 0, 'escrow', '', 200000), (false, 1, 'payable', 'rec_ana', -133000),
    (false, 2, 'payable', 'rec_ben', -57000), (false, 3, 'platform_fees', '', -10000)
  ) AS entry (is_first, seq, kind, subject, amount)
), headers AS (
  INSERT INTO ledger_transactions (id, kind, batch_id, currency, posted_at)
  SELECT CASE WHEN is_first THEN id ELSE other END, kind, id, 'USD', at
  FROM one, (VALUES (true, 'released'), (false, 'scheduled')) AS header (is_first, kind)
), job AS (
  INSERT INTO jobs (id, kind, subject, state, run_at, leased, woken, attempt)
  SELECT id, 'execute_batch', 'batch_' || digits, 'ready', at, false, false, 0 FROM one
), event AS (
  INSERT INTO outbox (id, type, batch_id, data, occurred_at)
  SELECT id, 'payout.batch.scheduled', id, '{"batchId":"batch_' || digits || '","currency":"USD","escrowId":"esc_' ||
    digits || '","itemsCount":2,"projectId":"prj_bench","status":"scheduled","totalNet":190000}', at
  FROM one
)
INSERT INTO audit_log (id, at, actor, action, subject, after)
SELECT id, at, 'usr_cli', 'batch.schedule', 'batch_' || digits,
  '{"amount":200000,"currency":"USD","escrowId":"esc_' || digits || '","status":"scheduled"}'
FROM one;
