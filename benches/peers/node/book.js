// What one release becomes in the database, in one transaction.

import { createHash } from 'node:crypto';
import { uuidV7 } from './ids.js';

/** One row, its items as JSON: 4 round trips. */
export async function bookSeed(client, ask, model, parts) {
  const id = uuidV7();
  await client.query('BEGIN');
  const taken = await client.query({
    name: 'seed_taken',
    text: 'SELECT id FROM seed_batches WHERE escrow_id = $1',
    values: [ask.escrowId],
  });
  if (taken.rowCount > 0) return { taken: taken.rows[0].id };
  const items = parts.lines.map((line) => ({ id: uuidV7(), ...line, status: 'scheduled' }));
  await client.query({
    name: 'seed_insert',
    text: `INSERT INTO seed_batches (id, escrow_id, project_id, currency, amount_minor, fee_minor, total_net_minor, status, items)
           VALUES ($1, $2, $3, $4, $5, $6, $7, 'scheduled', $8)`,
    values: [id, ask.escrowId, ask.projectId, ask.currency, ask.amount, parts.fee, parts.net, JSON.stringify(items)],
  });
  await client.query('COMMIT');
  return { id };
}

/**
 * The same rows as `disburse` writes, in its own tables: batch, inputs, 2 items, 2 lines, 6 entries, 2 headers, job,
 * event, audit entry. One statement a table, but for the ledger, whose
 * two tables take one; prepared: 12 round trips.
 */
export async function bookFull(client, ask, caller) {
  await client.query('BEGIN');
  // What `disburse` reads with several statements, this reads with two.
  const { rows } = await client.query({
    name: 'full_facts',
    text: `SELECT (SELECT id FROM batches WHERE escrow_id = $1) AS taken,
                  (SELECT row_to_json(m) FROM (
                     SELECT version, spec::json AS spec, encode(hash, 'hex') AS hash FROM revenue_models
                     WHERE project_id = $2 AND status = 'active' AND effective_from <= $3
                       AND (effective_to IS NULL OR effective_to > $3) ORDER BY version DESC LIMIT 1) m) AS model`,
    values: [ask.escrowId, ask.projectId, ask.now],
  });
  const { taken, model } = rows[0];
  if (taken !== null) return { taken };
  if (model === null) return { unknown: true };
  const parts = ask.split(model.spec);
  const recipients = await client.query({
    name: 'full_recipients',
    text: 'SELECT id, status, tax, payout_minimums, rail FROM recipients WHERE id = ANY($1)',
    values: [parts.lines.map((line) => line.recipient)],
  });
  if (recipients.rows.some((recipient) => recipient.status !== 'active' || recipient.tax !== null)) {
    throw new Error('this peer pays active recipients without tax and nobody else');
  }

  const id = uuidV7();
  const job = uuidV7();
  const released = uuidV7();
  const scheduled = uuidV7();
  const name = `batch_${id.replaceAll('-', '')}`;
  const items = parts.lines.map(() => uuidV7());
  const at = ask.now;
  const fingerprint = createHash('sha256').update(JSON.stringify(ask.said)).digest();
  const column = (key) => parts.lines.map((line) => line[key]);
  const places = parts.lines.map((_, place) => place);

  await client.query({
    name: 'full_batch',
    text: `INSERT INTO batches (id, kind, escrow_id, project_id, milestone_id, scheduled_by, currency, amount_minor,
             deductions_minor, fee_minor, fee_tax_minor, tax_minor, total_net_minor, model_version, model_hash, as_of,
             due_at, approvals_required, approvals_given, fingerprint, job_id, items_count, status, created_at,
             updated_at, revision)
           VALUES ($1, 'release', $2, $3, $4, $5, $6, $7, 0, $8, 0, 0, $9, $10, decode($11, 'hex'), $12, $12, 0, 0, $13,
             $14, $15, 'scheduled', $12, $12, 1)`,
    values: [
      id, ask.escrowId, ask.projectId, ask.milestoneId, caller.sub, ask.currency, ask.amount, parts.fee, parts.net,
      model.version, model.hash, at, fingerprint, job, items.length,
    ],
  });
  await client.query({
    name: 'full_inputs',
    text: 'INSERT INTO batch_inputs (batch_id, inputs) VALUES ($1, $2)',
    values: [id, '{"counts":[],"deductions":[],"parties":{}}'],
  });
  await client.query({
    name: 'full_items',
    text: `INSERT INTO items (id, batch_id, seq, recipient_id, amount_minor, fee_minor, tax_minor, net_minor,
             payable_minor, reversed_minor, taken_minor, attempts, retries, status, created_at, updated_at, revision)
           SELECT u.id, $1, u.seq, u.recipient, u.gross, u.fee, 0, u.net, u.net, 0, 0, 0, 0, 'scheduled', $2, $2, 1
           FROM unnest($3::uuid[], $4::int8[], $5::text[], $6::int8[], $7::int8[], $8::int8[])
             u(id, seq, recipient, gross, fee, net)`,
    values: [id, at, items, places, column('recipient'), column('gross'), column('fee'), column('net')],
  });
  await client.query({
    name: 'full_lines',
    text: `INSERT INTO batch_lines (batch_id, seq, recipient_id, item_id, gross_minor, fee_minor, fee_tax_minor,
             tax_minor, taxes, carried_in_minor, recovered_minor, carried_forward_minor, payable_minor)
           SELECT $1, u.seq, u.recipient, u.id, u.gross, u.fee, 0, 0, '[]', 0, 0, 0, u.net
           FROM unnest($2::uuid[], $3::int8[], $4::text[], $5::int8[], $6::int8[], $7::int8[])
             u(id, seq, recipient, gross, fee, net)`,
    values: [id, items, places, column('recipient'), column('gross'), column('fee'), column('net')],
  });

  const entries = { transaction: [], seq: [], kind: [], subject: [], amount: [] };
  const post = (transaction, seq, kind, subject, amount) => {
    entries.transaction.push(transaction);
    entries.seq.push(seq);
    entries.kind.push(kind);
    entries.subject.push(subject);
    entries.amount.push(amount);
  };
  post(released, 0, 'escrow_receivable', '', ask.amount);
  post(released, 1, 'escrow', ask.escrowId, -ask.amount);
  post(scheduled, 0, 'escrow', ask.escrowId, ask.amount);
  parts.lines.forEach((line, at) => post(scheduled, at + 1, 'payable', line.recipient, -line.net));
  post(scheduled, parts.lines.length + 1, 'platform_fees', '', -parts.fee);
  await client.query({
    name: 'full_ledger',
    text: `WITH entries AS (
             INSERT INTO ledger_entries (transaction_id, seq, account_kind, account_subject, currency, amount_minor)
             SELECT u.transaction, u.seq, u.kind, u.subject, $1, u.amount
             FROM unnest($2::uuid[], $3::int8[], $4::text[], $5::text[], $6::int8[])
               u(transaction, seq, kind, subject, amount))
           INSERT INTO ledger_transactions (id, kind, batch_id, currency, posted_at)
           VALUES ($7, 'released', $9, $1, $10), ($8, 'scheduled', $9, $1, $10)`,
    values: [
      ask.currency, entries.transaction, entries.seq, entries.kind, entries.subject, entries.amount, released, scheduled,
      id, at,
    ],
  });
  await client.query({
    name: 'full_job',
    text: `INSERT INTO jobs (id, kind, subject, state, run_at, leased, woken, attempt)
           VALUES ($1, 'execute_batch', $2, 'ready', $3, false, false, 0)`,
    values: [job, name, at],
  });
  const event = {
    batchId: name, currency: ask.currency, escrowId: ask.escrowId, itemsCount: items.length,
    projectId: ask.projectId, status: 'scheduled', totalNet: parts.net,
  };
  await client.query({
    name: 'full_event',
    text: `INSERT INTO outbox (id, type, batch_id, data, occurred_at) VALUES ($1, 'payout.batch.scheduled', $2, $3, $4)`,
    values: [uuidV7(), id, JSON.stringify(event), at],
  });
  const said = { amount: ask.amount, currency: ask.currency, escrowId: ask.escrowId, status: 'scheduled' };
  await client.query({
    name: 'full_audit',
    text: `INSERT INTO audit_log (id, at, actor, role, action, subject, request_id, after)
           VALUES ($1, $2, $3, $4, 'batch.schedule', $5, $6, $7)`,
    values: [uuidV7(), at, caller.sub, caller.role, name, ask.requestId, JSON.stringify(said)],
  });
  await client.query('COMMIT');
  return { id, job, parts };
}
