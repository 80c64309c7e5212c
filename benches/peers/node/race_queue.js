// The peers of `cargo xtask bench execution`: `node race_queue.js pgboss|pgboss64|graphile rate|latency COUNT`.
//
// `rate`: COUNT jobs wait, each does nothing; the time until all of them are done. `latency`: COUNT jobs come one by one,
// 20 a second; the time from before one is sent until its handler runs. DATABASE_URL comes by environment.

import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';
import { PgBoss } from 'pg-boss';

const { DATABASE_URL } = process.env;
const [who, what, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
// As many as `disburse` does side by side.
const PLACES = 8;
const PAUSE_MS = 50;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Answers when `step` was called so often. */
function countdown(left) {
  let done;
  const finished = new Promise((resolve) => (done = resolve));
  return { step: (by = 1) => (left -= by) <= 0 && done(), finished };
}

const tellRate = (ms) => console.log(`RESULT jobs=${count} micros=${Math.round(ms * 1000)}`);
function tellLatency(waits) {
  waits.sort((a, b) => a - b);
  const at = (part) => waits[Math.min(waits.length - 1, Math.ceil(waits.length * part) - 1)];
  console.log(`RESULT p50=${at(0.5)} p99=${at(0.99)}`);
}

async function sendOneByOne(send) {
  for (let sent = 0; sent < count; sent += 1) {
    await send({ at: performance.now() });
    // Never in step with anybody's polling.
    await pause(PAUSE_MS * (0.5 + Math.random()));
  }
}

async function pgBoss(batchSize) {
  const boss = new PgBoss({ connectionString: DATABASE_URL, max: 16, useListenNotify: true });
  boss.on('error', (error) => { throw error; });
  await boss.start();
  const queue = 'race';
  await boss.createQueue(queue, { notify: true });
  if (what === 'rate') {
    for (let made = 0; made < count; made += 1000) {
      const part = Math.min(1000, count - made);
      await boss.insert(queue, Array.from({ length: part }, (_, at) => ({ data: { place: made + at } })));
    }
    // Fetched and completed by hand: `work` waits for its poll after each that was not full.
    let left = count;
    const started = performance.now();
    await Promise.all(
      Array.from({ length: PLACES }, async () => {
        while (left > 0) {
          const jobs = await boss.fetch(queue, { batchSize });
          if (jobs.length === 0) break;
          await boss.complete(queue, jobs.map((job) => job.id));
          left -= jobs.length;
        }
      }),
    );
    tellRate(performance.now() - started);
    if (left > 0) throw new Error(`${left} jobs are left`);
  } else {
    const { step, finished } = countdown(count);
    const waits = [];
    await boss.work(queue, { batchSize: 1, localConcurrency: PLACES, pollingIntervalSeconds: 0.5 }, async ([job]) => {
      waits.push(performance.now() - job.data.at);
      step();
    });
    await pause(500);
    await sendOneByOne((data) => boss.send(queue, data));
    await finished;
    tellLatency(waits);
  }
  await boss.stop({ graceful: false });
}

async function graphile() {
  const logger = new Logger(() => (level, message) => level === 'error' && console.error(message));
  const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 16 });
  pool.on('error', console.error);
  pool.on('connect', (client) => client.on('error', console.error));
  const utils = await makeWorkerUtils({ pgPool: pool, logger });
  await utils.migrate();
  if (what === 'rate') {
    const { rows } = await pool.query(
      `SELECT count(graphile_worker.add_job('race', json_build_object('place', place))) AS made
       FROM generate_series(1, $1::int) AS place`,
      [count],
    );
    if (Number(rows[0].made) !== count) throw new Error('not all jobs were made');
  }
  const { step, finished } = countdown(count);
  const waits = [];
  const started = performance.now();
  const taskList = {
    race: async (payload) => {
      if (payload.at !== undefined) waits.push(performance.now() - payload.at);
      step();
    },
  };
  const runner = await run({ pgPool: pool, logger, concurrency: PLACES, noHandleSignals: true, taskList });
  if (what === 'rate') {
    await finished;
    tellRate(performance.now() - started);
  } else {
    await pause(500);
    await sendOneByOne((data) => utils.addJob('race', data));
    await finished;
    tellLatency(waits);
  }
  await runner.stop();
  await utils.release();
  await pool.end();
}

const races = { pgboss: () => pgBoss(1), pgboss64: () => pgBoss(64), graphile };
await races[who]();
process.exit(0);
