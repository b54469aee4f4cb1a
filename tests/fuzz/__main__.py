"""`nox -s fuzz`: a hundred thousand inputs for every reader of what students hand in; figures, and what went wrong.

Arguments: names of targets, and `--inputs N --seed N`. A finding is printed with its input, and ends with exit code 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import secrets
import sys
import time
import traceback
from dataclasses import dataclass, field
from random import Random

from tests.fuzz.targets import TARGETS, FuzzTarget

PATIENCE = 10.0
"""Seconds for one input: longer is a hang."""


@dataclass
class FuzzFigures:
    """What a run of one target was like."""

    seconds: float = 0.0
    slowest: float = 0.0
    accepted: int = 0
    findings: list[bytes] = field(default_factory=list)
    """The first inputs that were not read as they must be."""


def fuzz_target(target: FuzzTarget, inputs: int, seed: int) -> FuzzFigures:
    """Read this number of inputs, but stop at three findings, and return the figures."""
    figures, started = FuzzFigures(), time.perf_counter()
    for number in range(inputs):
        data = target.make(Random(f"{seed}/{number}"))  # each input can be made again by its number
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        begun = time.perf_counter()
        try:
            figures.accepted += target.read(data)
        except Exception:
            figures.findings.append(data)
            print(f"input {number} of seed {seed}: {data[:2000]!r}\n{traceback.format_exc()}")
        figures.slowest = max(figures.slowest, time.perf_counter() - begun)
        faulthandler.cancel_dump_traceback_later()
        if len(figures.findings) == 3:
            break
    figures.seconds = time.perf_counter() - started
    return figures


def main() -> int:
    """Run the targets and print a line for each."""
    parser = argparse.ArgumentParser(prog="nox -s fuzz --")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    failed = False
    for name in options.targets or TARGETS:
        f = fuzz_target(TARGETS[name], options.inputs, options.seed)
        failed |= bool(f.findings)
        told = f"{len(f.findings)} FINDINGS" if f.findings else "no crash, no hang"
        share = f"{f.accepted / options.inputs:.0%} accepted, the slowest {f.slowest * 1000:.0f} ms"
        print(
            f"{name:<9}{options.inputs:>9,} inputs{f.seconds:>8.1f} s, {share}: {told}, seed {options.seed}", flush=True
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
