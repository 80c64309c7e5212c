// One release, as a careful team would split it in plain JavaScript: integers, the largest remainder, ties to the
// line that is listed first.

const MILLION = 1_000_000;

/** Shares of an amount by weights that sum to `total`. */
export function apportion(amount, weights, total) {
  const shares = new Array(weights.length);
  const rest = new Array(weights.length);
  let left = amount;
  for (let at = 0; at < weights.length; at += 1) {
    const product = amount * weights[at];
    if (Number.isSafeInteger(product)) {
      shares[at] = Math.floor(product / total);
      rest[at] = product - shares[at] * total;
    } else {
      const exact = BigInt(amount) * BigInt(weights[at]);
      shares[at] = Number(exact / BigInt(total));
      rest[at] = Number(exact % BigInt(total));
    }
    left -= shares[at];
  }
  for (; left > 0; left -= 1) {
    let best = 0;
    for (let at = 1; at < rest.length; at += 1) if (rest[at] > rest[best]) best = at;
    shares[best] += 1;
    rest[best] = -1;
  }
  return shares;
}

/** Each line of a release: gross by the model, its part of the platform's fee, net. */
export function split(amount, model) {
  const gross = apportion(amount, model.weights, MILLION);
  const fee = Math.floor((amount * model.feePpm + MILLION / 2) / MILLION);
  const fees = apportion(fee, gross, amount);
  const lines = model.recipients.map((recipient, at) => ({
    recipient,
    gross: gross[at],
    fee: fees[at],
    net: gross[at] - fees[at],
  }));
  return { fee, net: amount - fee, lines };
}

/** What is needed of a stored model: one step of shares in percent, and a fee with a rate. */
export function readModel(spec) {
  const lines = spec.steps[0].lines;
  return {
    recipients: lines.map((line) => line.recipientId),
    weights: lines.map((line) => Math.round(Number(line.percent) * 10_000)),
    feePpm: spec.platformFee.ratePpm,
  };
}
