"""Measure a training run that somebody is watching: once before it, several times during it, and once after it."""

from __future__ import annotations

import math
from collections.abc import Callable

ProgressReport = Callable[[float, float], None]
"""A function that is called with the current step and the number of steps."""


def measure_training(
    train: Callable[[ProgressReport], None], measure: ProgressReport, count: int, on_report: Callable[[], None]
) -> None:
    """Run ``train``; call ``on_report`` at each report, and ``measure`` before, about ``count`` times during and after.

    ``on_report`` is called each time training reports its progress. Exceptions raised by ``on_report`` propagate
    through training.
    """
    measured, last = 0, (0.0, 0.0)

    def take_next_measurement(step: float, steps: float) -> None:
        """Count a measurement, and take it."""
        nonlocal measured
        measured += 1
        measure(step, steps)

    def measure_if_due(step: float, steps: float) -> None:
        """Take a measurement if the next one is due."""
        nonlocal last
        if math.isfinite(step) and math.isfinite(steps) and steps > 0:
            last = (min(max(step, 0.0), steps), steps)
            if step >= measured * steps / count and measured < count:
                take_next_measurement(*last)
        on_report()

    take_next_measurement(0, 0)
    train(measure_if_due)
    take_next_measurement(*last)
