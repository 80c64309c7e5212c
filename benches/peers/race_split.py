"""The peer of `cargo xtask bench calculator` in Python: `python3 race_split.py FILE SPLITS`.

FILE has an amount and the five net shares that `disburse` makes of it in each line. What differs is a failure; then the
same amounts are split SPLITS times with `decimal.Decimal`, and the time of one is told in nanoseconds.
"""

import sys
import time
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

PARTS = [Decimal(part) for part in ("0.35", "0.25", "0.2", "0.133333", "0.066667")]
FEE = Decimal("0.05")
CENT = Decimal("0.01")


def apportion(amount, quotas):
    """Rounds down to the cent, then gives the cents that are left to the largest remainders, ties to the first."""
    shares = [quota.quantize(CENT, ROUND_DOWN) for quota in quotas]
    left = int((amount - sum(shares)) / CENT)
    if left:
        rest = [quota - share for quota, share in zip(quotas, shares)]
        for at in sorted(range(len(rest)), key=lambda at: -rest[at])[:left]:
            shares[at] += CENT
    return shares


def split(amount):
    gross = apportion(amount, [amount * part for part in PARTS])
    fee = (amount * FEE).quantize(CENT, ROUND_HALF_UP)
    fees = apportion(fee, [fee * share / amount for share in gross])
    return [share - part for share, part in zip(gross, fees)]


def main(file, splits):
    with open(file) as lines:
        expected = [[Decimal(cents) / 100 for cents in line.split(",")] for line in lines]
    for amount, *nets in expected:
        mine = split(amount)
        if mine != nets:
            sys.exit(f"Decimal splits {amount} into {mine}, not {nets}")
    amounts = [amount for amount, *_ in expected]
    started = time.perf_counter_ns()
    for at in range(splits):
        split(amounts[at % len(amounts)])
    took = time.perf_counter_ns() - started
    print(f"RESULT ns={took / splits} checked={len(expected)}")


main(sys.argv[1], int(sys.argv[2]))
