"""How long student code may take: CPU seconds are counted; a wide limit of wall time ends what only sleeps.

A busy machine makes right code late, not costly: so budgets are CPU seconds, as the kernel counts them for the worker's
processes. Where it does not (macOS), they are seconds of wall time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from grading.errors import GraderError
from grading.remote import DeadlineError
from grading.sandbox.processes import Usage

WALL_FACTOR = 10.0
"""So many times its budget of CPU seconds may pass on the clock."""
LEAST_WALL, MOST_EXTRA = 180.0, 1800.0
"""Seconds: no wall limit is shorter, and none is longer than its budget by more than this: who sleeps must end."""
LOOK_SECONDS = 0.25
"""How often the CPU time of a worker that has not answered is read."""


def wall_limit(cpu_seconds: float) -> float:
    """The wall time that goes with a budget of CPU seconds."""
    return max(LEAST_WALL, min(WALL_FACTOR * cpu_seconds, cpu_seconds + MOST_EXTRA))


def find_passed_limit(cpu: float, wall: float, budget: float) -> str | None:
    """The limit that this much CPU and wall time has passed, in words: `5 s of CPU time`. None when there is none."""
    if cpu > budget:
        return f"{budget:.0f} s of CPU time"
    if wall > wall_limit(budget):
        return f"{wall_limit(budget):.0f} s of wall time"
    return None


class TimeLimit:
    """What a call, or all calls of a block together, may take from now on."""

    def __init__(self, budget: float, read_usage: Callable[[], Usage | None]):
        self._budget, self._read_usage = budget, read_usage
        self._look_seconds = min(LOOK_SECONDS, budget / 4)
        self._started = time.monotonic()
        self._next_look = self._started + self._look_seconds
        self._before: Usage | None = None

    def wait(self) -> float:
        """Seconds until somebody should ask again. DeadlineError once a limit is passed."""
        if time.monotonic() >= self._next_look:
            self._look()
            self._next_look = time.monotonic() + self._look_seconds
        return max(self._next_look - time.monotonic(), 0.001)

    def _look(self) -> None:
        wall, usage = time.monotonic() - self._started, self._read_usage()
        if usage is None:
            if wall > self._budget and self._before is None:
                raise DeadlineError(
                    f"no answer within {self._budget:.0f} s; is there an endless loop, or is the machine busy with "
                    "something else?"
                )
            return
        if self._before is None:  # read only now: most calls are over before, and need no reading at all
            self._before = Usage(usage.cpu_seconds - min(wall, self._look_seconds), usage.waited_seconds)
        cpu, waited = usage.cpu_seconds - self._before.cpu_seconds, usage.waited_seconds - self._before.waited_seconds
        passed = find_passed_limit(cpu, wall, self._budget)
        if passed is None:
            return
        if cpu > self._budget:
            raise DeadlineError(f"no answer within {passed}; is there an endless loop?")
        if waited > (wall - cpu) / 2:
            raise GraderError(
                f"this machine is too busy to grade: in {passed} a worker computed for {cpu:.1f} s and waited for a "
                f"processor for {waited:.0f} s. Grade again when less is running."
            )
        raise DeadlineError(
            f"no answer within {passed}, of which it computed for {cpu:.1f} s; does it sleep, or wait for something?"
        )


def wait_until(moment: float) -> Callable[[], float]:
    """Seconds that are left until a moment of the monotonic clock; TimeoutError when it has come."""

    def wait() -> float:
        left = moment - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left if math.isfinite(left) else 3600.0

    return wait
