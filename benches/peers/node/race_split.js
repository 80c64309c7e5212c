// The peers of `cargo xtask bench calculator`: `node race_split.js dinero|plain FILE SPLITS`.
//
// FILE has an amount and the five net shares that `disburse` makes of it in each line. What differs is a failure;
// then the same amounts are split SPLITS times, and the time of one is told in nanoseconds.

import { readFileSync } from 'node:fs';
import { add, compare, dinero, halfAwayFromZero, down, multiply, subtract, toSnapshot, transformScale } from 'dinero.js';
import { USD } from 'dinero.js/currencies';
import { split } from './split.js';

const PARTS_PPM = [350_000, 250_000, 200_000, 133_333, 66_667];
const FEE_PPM = 50_000;

const money = (amount) => dinero({ amount, currency: USD });
const cents = (value) => toSnapshot(value).amount;
const CENT = money(1);

/** One cent each to the largest remainders, ties to the first; `isLess` compares remainders. */
function giveTheRest(shares, rest, left, isLess) {
  const given = new Set();
  for (; left > 0; left -= 1) {
    let best = -1;
    for (let at = 0; at < rest.length; at += 1) {
      if (!given.has(at) && (best < 0 || isLess(rest[best], rest[at]))) best = at;
    }
    shares[best] = add(shares[best], CENT);
    given.add(best);
  }
}

/** With dinero.js. It multiplies exactly, but divides by no amount: of the fee's shares plain numbers do that. */
function withDinero(amount) {
  const whole = money(amount);
  const gross = [];
  const rest = [];
  let left = whole;
  for (const part of PARTS_PPM) {
    const exact = multiply(whole, { amount: part, scale: 6 });
    const share = transformScale(exact, 2, down);
    gross.push(share);
    rest.push(subtract(exact, share));
    left = subtract(left, share);
  }
  giveTheRest(gross, rest, cents(left), (one, other) => compare(one, other) < 0);

  const fee = transformScale(multiply(whole, { amount: FEE_PPM, scale: 6 }), 2, halfAwayFromZero);
  const fees = [];
  const feeRest = [];
  let feeLeft = fee;
  for (const share of gross) {
    const product = cents(multiply(fee, cents(share)));
    const part = Math.floor(product / amount);
    fees.push(money(part));
    feeRest.push(product - part * amount);
    feeLeft = subtract(feeLeft, fees.at(-1));
  }
  giveTheRest(fees, feeRest, cents(feeLeft), (one, other) => one < other);
  return gross.map((share, at) => cents(subtract(share, fees[at])));
}

const model = { recipients: ['a', 'b', 'c', 'd', 'e'], weights: PARTS_PPM, feePpm: FEE_PPM };
const plain = (amount) => split(amount, model).lines.map((line) => line.net);

const [how, file, splits] = process.argv.slice(2);
const splitter = { dinero: withDinero, plain }[how];
const lines = readFileSync(file, 'utf8').trim().split('\n');
const expected = lines.map((line) => line.split(',').map(Number));
for (const [amount, ...nets] of expected) {
  const mine = splitter(amount);
  if (mine.some((net, at) => net !== nets[at])) throw new Error(`${how} splits ${amount} into ${mine}, not ${nets}`);
}
const amounts = expected.map(([amount]) => amount);
const run = (count) => {
  let sum = 0;
  const started = process.hrtime.bigint();
  for (let at = 0; at < count; at += 1) sum += splitter(amounts[at % amounts.length])[0];
  return { ns: Number(process.hrtime.bigint() - started) / count, sum };
};
run(Number(splits) / 10); // Cold, V8 is slower.
const { ns, sum } = run(Number(splits));
console.log(`RESULT ns=${ns} checked=${expected.length} sum=${sum}`);
