"""The job of `disburse bulk calculate` in plain Python: to compare with, and to check against.

    python3 benches/same_job.py releases.csv models out.csv

One share step in percent, a platform fee with a rate and a fixed part, no tax, no deductions: what `bulk.rs` measures.
"""

import csv
import hashlib
import json
import pathlib
import sys


def apportion(amount, weights, total):
    """Largest remainder; ties go to the line listed first."""
    parts = [divmod(amount * weight, total) for weight in weights]
    shares = [floor for floor, _ in parts]
    left = amount - sum(shares)
    for at in sorted(range(len(parts)), key=lambda at: -parts[at][1])[:left]:
        shares[at] += 1
    return shares


def read_model(path):
    written = json.loads(path.read_text())
    lines = written["steps"][0]["lines"]
    fee = {"fixed": 0, "min": 0, "ratePpm": 0, **written["platformFee"]}
    canonical = json.dumps(
        {**written, "platformFee": fee, "tieBreak": "declaration"}, sort_keys=True, separators=(",", ":")
    )
    return (
        [line["recipientId"] for line in lines],
        [int(line["percent"]) * 10_000 for line in lines],
        fee["ratePpm"],
        fee["fixed"],
        "sha256:" + hashlib.sha256(canonical.encode()).hexdigest(),
    )


def main(releases, models, out):
    models = {path.stem: read_model(path) for path in pathlib.Path(models).glob("*.json")}
    header = "escrowId,projectId,recipientId,currency,grossShare,platformFeeShare,taxWithheldShare,netAmount,"
    header += "heldAmount,payableAmount,modelVersion,modelHash"
    with open(releases, newline="") as source, open(out, "w", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(header.split(","))
        rows = csv.reader(source)
        next(rows)
        for escrow, project, amount, currency, _ in rows:
            recipients, weights, rate, fixed, model_hash = models[project]
            amount = int(amount)
            shares = apportion(amount, weights, 1_000_000)
            fee = min(amount, (amount * rate + 500_000) // 1_000_000 + fixed)
            fees = apportion(fee, shares, amount)
            for recipient, gross, part in zip(recipients, shares, fees):
                net = gross - part
                writer.writerow((escrow, project, recipient, currency, gross, part, 0, net, 0, net, 1, model_hash))


main(*sys.argv[1:])
