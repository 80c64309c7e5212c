-- MODE=seed: one row a release, with its items as JSON. MODE=full writes the tables of `disburse` itself.
CREATE TABLE seed_batches (
  id uuid PRIMARY KEY,
  escrow_id text NOT NULL UNIQUE,
  project_id text NOT NULL,
  currency text NOT NULL,
  amount_minor bigint NOT NULL,
  fee_minor bigint NOT NULL,
  total_net_minor bigint NOT NULL,
  status text NOT NULL,
  items jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON seed_batches (project_id, id);
