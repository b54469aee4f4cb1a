"""Statistics of items (tasks, questions, criteria): how hard each is, and how well it separates strong students.

These are the figures of classical test theory, as assessment systems show them. A student passes an item at the first
attempt if their first result for it passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

FEWEST = 10
"""The smallest number of students for whom a correlation is meaningful."""
DISCRIMINATION = (
    "Discrimination is the point-biserial correlation r = (M₁ − M₀) / s · √(p(1 − p)) between passing an item at the "
    "first attempt and the share of all other items passed at the first attempt. M₁ is the mean of that share "
    "over the students who passed the item, and M₀ is the mean over those who did not. Its standard deviation is s, "
    "and the proportion who passed is p. Above 0.3 an item separates strong students from weak ones. Near 0, it does "
    f"not. Below 0, something is wrong with the item. The correlation needs {FEWEST} students, and at least one with "
    "each outcome."
)


@dataclass(frozen=True)
class ItemOutcome:
    """One student's outcome on an item."""

    passed_first: bool
    tries: int
    """The number of results up to and including the first that passes; 0 if none does."""


PASSED = ItemOutcome(passed_first=True, tries=1)


@dataclass(frozen=True)
class ItemStatistics:
    """The statistics of one item over a class."""

    met: int
    """The number of students with a result for the item."""
    passed_first: int
    discrimination: float | None
    """The discrimination; None if the class is too small, or if all students had the same outcome."""
    tries: float | None
    """The median number of results up to the first pass, over the students who passed; None if nobody did."""
    unpassed: int
    """The number of students who have not passed the item."""


def analyse_items(outcomes: Sequence[Mapping[str, ItemOutcome]], items: Sequence[str]) -> dict[str, ItemStatistics]:
    """Map each item to its statistics. ``outcomes`` has one mapping from item to outcome for each student."""
    correlations = compute_discriminations(outcomes, items)
    found = {}
    for item in items:
        met = [student[item] for student in outcomes if item in student]
        tries = [one.tries for one in met if one.tries]
        found[item] = ItemStatistics(
            met=len(met),
            passed_first=sum(one.passed_first for one in met),
            discrimination=correlations[item],
            tries=float(median(tries)) if tries else None,
            unpassed=len(met) - len(tries),
        )
    return found


def compute_discriminations(
    outcomes: Sequence[Mapping[str, ItemOutcome]], items: Sequence[str]
) -> dict[str, float | None]:
    """Map each item to its item-rest correlation at the first attempt, or None for too few students or no spread."""
    column = {item: number for number, item in enumerate(items)}
    passed = np.zeros((len(outcomes), len(items)), np.float32)
    met = np.zeros_like(passed)
    for row, student in enumerate(outcomes):
        for item, outcome in student.items():
            if item in column:
                met[row, column[item]] = 1
                passed[row, column[item]] = outcome.passed_first
    totals, counts = passed.sum(axis=1), met.sum(axis=1)
    return {item: _compute_discrimination(passed[:, c], met[:, c], totals, counts) for item, c in column.items()}


def _compute_discrimination(
    passed: np.ndarray, met: np.ndarray, totals: np.ndarray, counts: np.ndarray
) -> float | None:
    """Compute one item's discrimination over students who also met another item; None if too few or no spread."""
    rows = (met > 0) & (counts > 1)
    if rows.sum() < FEWEST:
        return None
    item, rest = passed[rows], (totals[rows] - passed[rows]) / (counts[rows] - 1)
    share, spread = float(item.mean()), float(rest.std())
    if share in (0.0, 1.0) or spread < 1e-6:
        return None
    between = float(rest[item > 0].mean() - rest[item == 0].mean())
    return round(between / spread * (share * (1 - share)) ** 0.5, 3)
