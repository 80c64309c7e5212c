// The peer of `cargo xtask bench http`: `POST /revenue/schedule-payouts` as a competent team writes it on Express and pg.
//
// MODE=full writes the same rows as `disburse`, into its own tables; MODE=seed one row, with the items as JSON.
// DATABASE_URL, PORT and JWT_SECRET come by environment.

import { createSecretKey, randomUUID } from 'node:crypto';
import express from 'express';
import jwt from 'jsonwebtoken';
import pg from 'pg';
import { bookFull, bookSeed } from './book.js';
import { readModel, split } from './split.js';

const { MODE, PORT, DATABASE_URL, JWT_SECRET } = process.env;
if (MODE !== 'full' && MODE !== 'seed') throw new Error('MODE is full or seed');

// Once: of a text jsonwebtoken would try to make a public key first, for every request.
const KEY = createSecretKey(Buffer.from(JWT_SECRET));
// As many connections as `disburse` has.
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 16 });
// The seed design has no versions of models: it reads them once, which favours it.
const models = new Map();
if (MODE === 'seed') {
  const { rows } = await pool.query('SELECT project_id, spec::json AS spec FROM revenue_models ORDER BY version');
  for (const row of rows) models.set(row.project_id, readModel(row.spec));
}

function authenticated(request, response, next) {
  const header = request.headers.authorization;
  if (header === undefined || !header.startsWith('Bearer ')) return refuse(response, 401, 'unauthorized');
  try {
    request.caller = jwt.verify(header.slice(7), KEY, { algorithms: ['HS256'] });
  } catch {
    return refuse(response, 401, 'unauthorized');
  }
  if (request.caller.role !== 'admin') return refuse(response, 403, 'forbidden');
  return next();
}

function refuse(response, status, code) {
  response.status(status).json({ error: { code } });
}

const FIELDS = new Set(['escrowId', 'projectId', 'milestoneId', 'amount', 'currency']);
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** Every fault of a body. */
function faults(body) {
  if (body === null || typeof body !== 'object' || Array.isArray(body)) return ['body'];
  const wrong = Object.keys(body).filter((field) => !FIELDS.has(field));
  for (const field of ['escrowId', 'projectId']) if (!NAME.test(body[field] ?? '')) wrong.push(field);
  if (body.milestoneId !== undefined && !NAME.test(body.milestoneId)) wrong.push('milestoneId');
  if (!Number.isSafeInteger(body.amount) || body.amount <= 0) wrong.push('amount');
  if (!/^[A-Z]{3}$/.test(body.currency ?? '')) wrong.push('currency');
  return wrong;
}

async function schedule(client, ask, caller) {
  if (MODE === 'full') return bookFull(client, ask, caller);
  const model = models.get(ask.projectId);
  if (model === undefined) return { unknown: true };
  const parts = split(ask.amount, model);
  return { ...(await bookSeed(client, ask, model, parts)), parts };
}

const app = express();
app.disable('x-powered-by');
app.set('etag', false);
app.get('/readyz', (_, response) => response.json({ ready: true }));
app.post('/revenue/schedule-payouts', authenticated, express.json({ limit: '64kb' }), async (request, response) => {
  const said = request.body;
  const wrong = faults(said);
  if (wrong.length > 0) {
    return response.status(422).json({ error: { code: 'validation_error', details: wrong } });
  }
  const ask = {
    ...said,
    milestoneId: said.milestoneId ?? null,
    said,
    now: Date.now() * 1000,
    requestId: `req_${randomUUID()}`,
    split: (spec) => split(said.amount, readModel(spec)),
  };
  const client = await pool.connect();
  try {
    const booked = await schedule(client, ask, request.caller);
    if (booked.id === undefined) {
      await client.query('ROLLBACK');
      return booked.unknown ? refuse(response, 404, 'project_not_found') : refuse(response, 409, 'already_scheduled');
    }
    return response.status(201).json({
      batchId: booked.id,
      escrowId: ask.escrowId,
      projectId: ask.projectId,
      milestoneId: ask.milestoneId,
      status: 'scheduled',
      currency: ask.currency,
      itemsCount: booked.parts.lines.length,
      estimatedTotalPayout: booked.parts.net,
      jobId: booked.job,
      message: 'Payout batch scheduled and execution job queued.',
    });
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    if (error.code === '23505') return refuse(response, 409, 'already_scheduled');
    console.error(error);
    return refuse(response, 500, 'server_error');
  } finally {
    client.release();
  }
});
app.listen(Number(PORT), '127.0.0.1');
