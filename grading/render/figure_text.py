"""Format measured figures by unit, so that a missed threshold never looks as if it had been met."""

from __future__ import annotations

import math

from grading.manifest.model import Criterion, Unit
from grading.result import CriterionResult

_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "_.-=+*%#"


def format_figure(value: float | None, unit: Unit, decimals: int = 1) -> str:
    """Format a figure as readers expect it: 97.3%, 0.042, 12, 3.12×, or a dash for None.

    `decimals` is relative to the unit's usual precision.

    >>> format_figure(0.9731, Unit.FRACTION), format_figure(0.0417, Unit.LOSS), format_figure(None, Unit.COUNT)
    ('97.3%', '0.042', '—')
    """
    if value is None or math.isnan(value):
        return "—"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    match unit:
        case Unit.FRACTION:
            return f"{_format_trimmed(100 * value, decimals)}%"
        case Unit.LOSS:
            return (
                f"{value:.{decimals}e}"
                if 0 < abs(value) < 10 ** -(decimals + 2)
                else _format_trimmed(value, decimals + 2)
            )
        case Unit.RATIO:
            return f"{_format_trimmed(value, decimals + 1)}×"
        case Unit.COUNT:
            return _format_trimmed(value, decimals)


def _format_trimmed(value: float, decimals: int) -> str:
    """Format a number with at most this many decimals, commas between thousands, and no trailing zeros."""
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_measured(criterion: CriterionResult) -> str:
    """Format the measured figure, with enough decimals to distinguish it from a threshold that it missed."""
    missed = criterion.measured is not None and not _meets_threshold(criterion, criterion.measured)
    for decimals in (1, 2, 3, 4, 6, 9):
        text = format_figure(criterion.measured, criterion.unit, decimals)
        if not missed or text != format_figure(criterion.threshold, criterion.unit, decimals):
            break
    return text


def format_threshold(criterion: CriterionResult | Criterion) -> str:
    """Format the threshold with its sign: ≥ 95%, ≤ 0.05."""
    sign = "≥" if criterion.comparison == "at_least" else "≤"
    decimals = next(
        (d for d in (1, 2, 3, 4) if math.isclose(round(criterion.threshold, d + 2), criterion.threshold)),
        6,
    )
    return f"{sign} {format_figure(criterion.threshold, criterion.unit, decimals)}"


def compute_closeness(criterion: CriterionResult) -> float:
    """Return how close the figure is to its threshold, from 0 to 1: 1 only if it is met, 0 without a figure."""
    value = criterion.measured
    if value is None or math.isnan(value):
        return 0.0
    if _meets_threshold(criterion, value):
        return 1.0
    near = value / criterion.threshold if criterion.comparison == "at_least" else criterion.threshold / value
    return min(max(near, 0.0), 0.99)


def format_margin(criterion: CriterionResult) -> str:
    """Format how far the figure is above or below its threshold: "2.3 points to spare", "12% short".

    The margin of a share is in points, and any other margin is a percentage of the threshold. Return "" if nothing was
    measured or if no margin is possible, as at 100%.
    """
    if criterion.measured is None or not math.isfinite(criterion.measured):
        return ""
    met = _meets_threshold(criterion, criterion.measured)
    if met and _get_largest_margin(criterion, better=True) == 0:
        return ""
    distance = abs(criterion.measured - criterion.threshold)
    if distance == 0:
        return "exactly met"
    if criterion.unit is not Unit.FRACTION and criterion.threshold == 0:
        return f"{format_figure(distance, criterion.unit)} over" if criterion.comparison == "at_most" else ""
    share = distance if criterion.unit is Unit.FRACTION else distance / abs(criterion.threshold)
    unit = " points" if criterion.unit is Unit.FRACTION else "%"
    number = "under 0.1" if 0 < share < 0.0005 else _format_trimmed(100 * share, 1 if share < 0.1 else 0)
    return f"{number}{unit} {'to spare' if met else 'short' if criterion.comparison == 'at_least' else 'over'}"


def compute_margin_share(criterion: CriterionResult) -> float:
    """Return the margin as a fraction of the possible range, from -1 to 1; 0 at the threshold or without a figure."""
    value = criterion.measured
    if value is None or not math.isfinite(value):
        return 0.0
    better = value - criterion.threshold if criterion.comparison == "at_least" else criterion.threshold - value
    room = _get_largest_margin(criterion, better=better >= 0)
    return min(max(better / room, -1.0), 1.0) if room else math.copysign(1, better) if better else 0.0


def _get_largest_margin(criterion: CriterionResult, *, better: bool) -> float:
    """Return the largest possible distance from a threshold on one side, or the threshold if there is no bound."""
    if criterion.unit is Unit.FRACTION and better == (criterion.comparison == "at_least"):
        return 1 - criterion.threshold
    return abs(criterion.threshold)


def draw_bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """Draw a bar of `width` characters, which is full only if the share is 1.

    >>> draw_bar(0.5, 6)
    '███░░░'
    """
    full = width if share >= 1 else min(int(share * width), width - 1)
    return ("#" if ascii_only else "█") * full + ("." if ascii_only else "░") * (width - full)


def draw_sparkline(values: tuple[float | None, ...], width: int, *, ascii_only: bool = False) -> str:
    """Draw the values as a curve of at most `width` characters, with a space for each gap, or return "" without values.

    >>> draw_sparkline((0.0, 1.0, None, 7.0), 8)
    '▁▂ █'
    """
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    kept = [v if v is not None and math.isfinite(v) else None for v in _select_evenly_spaced(values, width)]
    known = [v for v in kept if v is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    if not math.isfinite(span):  # near the limits of a float
        span = 0
    return "".join(" " if v is None else levels[round((v - low) / span * 7) if span else 0] for v in kept)


def _select_evenly_spaced(values: tuple[float | None, ...], width: int) -> list[float | None]:
    """Return at most `width` of the values, evenly spaced, including the last one."""
    if len(values) <= width:
        return list(values)
    return [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]


def _meets_threshold(criterion: CriterionResult, value: float) -> bool:
    """Return whether a value meets the criterion's threshold."""
    if criterion.comparison == "at_least":
        return value >= criterion.threshold
    return value <= criterion.threshold
