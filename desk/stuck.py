"""Find students who may be stuck, by a score that anybody can recompute; at most a tenth of the class is listed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

FAILURES, WEEKS, PAIRS_BEHIND = 5, 2, 2
"""The maximum points for each reason, so that a student who left long ago does not outrank one who is trying."""
LEAST = 3
"""The minimum number of points that counts as stuck. With fewer points, work is going normally."""
SHARE = 10
"""At most one in this many students is listed: those with the most points."""
_PART = (
    f"one for each consecutive result whose first failure is the same (at most {FAILURES})",
    f"one for each week without progress (at most {WEEKS})",
    f"one for every two modules behind the median of the class (at most {PAIRS_BEHIND})",
)
FORMULA = f"Points: {_PART[0]}, {_PART[1]}, and {_PART[2]}."
FORMULA_OF_RESULTS = f"Points: {_PART[0]}, and {_PART[1]}."
"""The formula for when modules are not known, as in a gradebook, which contains only milestones."""
SELECTION = f"Students with {LEAST} points or more are listed, highest first, but at most one in {SHARE} of the class."

Key = TypeVar("Key")


@dataclass(frozen=True)
class StuckScore:
    """The figures that indicate that a student may be stuck."""

    failures: int = 0
    """The number of consecutive results, up to the newest, that have the same first failure."""
    days: int = 0
    """The number of days since the last progress."""
    behind: int = 0
    """The number of modules by which the student is behind the median of the class."""

    @property
    def score(self) -> int:
        """The points according to `FORMULA`; a higher score means a greater need for help.

        >>> StuckScore(failures=3, days=9, behind=5).score
        6
        """
        pairs = max(0, self.behind) // 2
        return min(self.failures, FAILURES) + min(self.days // 7, WEEKS) + min(pairs, PAIRS_BEHIND)


def rank_by_stuck_score(stuck_scores: Mapping[Key, StuckScore], last_activity: Mapping[Key, float]) -> list[Key]:
    """Rank all students, most points first. Among equals, the student who worked most recently comes first."""
    return sorted(stuck_scores, key=lambda key: (-stuck_scores[key].score, -last_activity.get(key, 0.0), str(key)))


def select_stuck_students(ranked: Iterable[Key], stuck_scores: Mapping[Key, StuckScore], class_size: int) -> list[Key]:
    """Select the top of a ranking: students with at least `LEAST` points, and at most one in `SHARE` of the class.

    Even the smallest class may have one stuck student.
    """
    named = [key for key in ranked if stuck_scores[key].score >= LEAST]
    return named[: max(1, class_size // SHARE)]
