"""Who may be stuck, for report and site: a score that anybody can recompute, and at most a tenth of the class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

FAILURES, WEEKS, PAIRS_BEHIND = 5, 2, 2
"""The most points for each reason, so that a student who left long ago does not outrank one who is trying now."""
LEAST = 3
"""Fewer points are ordinary work."""
SHARE = 10
"""One in this many students is named, those with the most points."""
_PART = (
    f"one for each result in a row that fails the same thing first (at most {FAILURES})",
    f"one for each week without progress (at most {WEEKS})",
    f"one for every two modules behind the median of the class (at most {PAIRS_BEHIND})",
)
FORMULA = f"Points: {_PART[0]}, {_PART[1]}, and {_PART[2]}."
FORMULA_OF_RESULTS = f"Points: {_PART[0]}, and {_PART[1]}."
"""The formula where modules are not known, as in a gradebook of milestones."""
SELECTION = f"Students with {LEAST} points or more are named, highest first, but at most one in {SHARE} of the class."

Key = TypeVar("Key")


@dataclass(frozen=True)
class StuckScore:
    """The reasons why a student may be stuck."""

    failures: int = 0
    """How many of the newest results in a row fail the same thing first."""
    days: int = 0
    """Days since the last progress."""
    behind: int = 0
    """How many modules the student is behind the median of the class."""

    @property
    def score(self) -> int:
        """The points by `FORMULA`; more points mean more need of help.

        >>> StuckScore(failures=3, days=9, behind=5).score
        6
        """
        pairs = max(0, self.behind) // 2
        return min(self.failures, FAILURES) + min(self.days // 7, WEEKS) + min(pairs, PAIRS_BEHIND)


def rank_by_stuck_score(needs: Mapping[Key, StuckScore], recent: Mapping[Key, float]) -> list[Key]:
    """Rank everybody, most points first; of equals the one who worked last, who can still be reached."""
    return sorted(needs, key=lambda key: (-needs[key].score, -recent.get(key, 0.0), str(key)))


def select_stuck(ranked: Iterable[Key], needs: Mapping[Key, StuckScore], students: int) -> list[Key]:
    """Select those of a ranking to name, in a class of this many students; any class may have one."""
    named = [key for key in ranked if needs[key].score >= LEAST]
    return named[: max(1, students // SHARE)]
