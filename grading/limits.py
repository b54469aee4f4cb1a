"""Limits on how long student code may take: a budget of CPU seconds, and a generous wall-time limit.

A busy machine makes correct code slow but does not make it use more CPU time. So budgets are CPU seconds, as the kernel
counts them for the worker's processes. macOS does not count CPU seconds, so budgets there are seconds of wall time. The
wall-time limit stops code that only sleeps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from grading.errors import GraderError
from grading.remote import DeadlineError
from grading.sandbox.processes import Usage

WALL_FACTOR = 10.0
"""The wall-time limit as a multiple of the CPU budget."""
LEAST_WALL, MOST_EXTRA = 180.0, 1800.0
"""The shortest wall-time limit, and the maximum by which a wall-time limit may exceed its CPU budget, in seconds."""
LOOK_SECONDS = 0.25
"""The interval in seconds between readings of the CPU time of a worker that has not answered."""


def compute_wall_limit(cpu_seconds: float) -> float:
    """Compute the wall-time limit for a budget of CPU seconds."""
    return max(LEAST_WALL, min(WALL_FACTOR * cpu_seconds, cpu_seconds + MOST_EXTRA))


def describe_exceeded_limit(cpu_seconds: float, wall_seconds: float, budget_seconds: float) -> str | None:
    """Describe the limit that these CPU and wall times exceed, such as `5 s of CPU time`.

    Return None if no limit is exceeded.
    """
    if cpu_seconds > budget_seconds:
        return f"{budget_seconds:.0f} s of CPU time"
    if wall_seconds > compute_wall_limit(budget_seconds):
        return f"{compute_wall_limit(budget_seconds):.0f} s of wall time"
    return None


class TimeLimit:
    """A limit on the time that a call, or all calls in a block together, may take from now on."""

    def __init__(self, budget: float, read_usage: Callable[[], Usage | None]):
        self._budget, self._read_usage = budget, read_usage
        self._look_seconds = min(LOOK_SECONDS, budget / 4)
        self._started = time.monotonic()
        self._next_look = self._started + self._look_seconds
        self._before: Usage | None = None

    def check_and_get_wait_seconds(self) -> float:
        """Return the seconds to the next check. A check that is due may raise DeadlineError or GraderError."""
        if time.monotonic() >= self._next_look:
            self._raise_if_exceeded()
            self._next_look = time.monotonic() + self._look_seconds
        return max(self._next_look - time.monotonic(), 0.001)

    def _raise_if_exceeded(self) -> None:
        """Read the usage and raise DeadlineError, or GraderError on a busy machine, if a limit is exceeded."""
        wall, usage = time.monotonic() - self._started, self._read_usage()
        if usage is None:
            if wall > self._budget and self._before is None:
                raise DeadlineError(
                    f"no answer within {self._budget:.0f} s; is there an endless loop, or is the machine busy?"
                )
            return
        if self._before is None:  # most calls end before this first reading
            self._before = Usage(usage.cpu_seconds - min(wall, self._look_seconds), usage.waited_seconds)
        cpu, waited = usage.cpu_seconds - self._before.cpu_seconds, usage.waited_seconds - self._before.waited_seconds
        passed = describe_exceeded_limit(cpu, wall, self._budget)
        if passed is None:
            return
        if cpu > self._budget:
            raise DeadlineError(f"no answer within {passed}; is there an endless loop?")
        if waited > (wall - cpu) / 2:
            raise GraderError(
                f"this machine is too busy to grade: in {passed}, a worker computed for {cpu:.1f} s and waited for a "
                f"processor for {waited:.0f} s. Grade again when the machine is less busy."
            )
        raise DeadlineError(
            f"no answer within {passed}, and only {cpu:.1f} s of CPU time used; "
            "is it sleeping or waiting for something?"
        )


def make_seconds_left_function(moment: float) -> Callable[[], float]:
    """Make a function that returns the seconds left until a monotonic time, or raises TimeoutError after that time.

    It returns 3600 for an infinite time.
    """

    def compute_seconds_left() -> float:
        """Return the number of seconds until the deadline, or 3600 if the deadline is infinite.

        Raise TimeoutError after the deadline.
        """
        left = moment - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left if math.isfinite(left) else 3600.0

    return compute_seconds_left
