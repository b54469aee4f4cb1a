"""What counts: for each student and milestone the grading that scores most, by when its files were pushed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from desk.deadlines import Terms, terms
from desk.gradebook import Gradebook, Grading, HandedIn, Visit
from desk.pushes import Push, arrived
from desk.roster import Row
from grading.manifest.model import Manifest, Milestone, Status

FULL = 100.0
"""Points of a milestone whose every criterion is met, on time."""
RANK = {"unlocked": 3, "provisional": 2, "not_yet": 1, "error": 0}


@dataclass(frozen=True)
class Score:
    """What one student has reached in one milestone."""

    student: str
    milestone: int
    grading: Grading | None = None
    """The one that counts; None when nothing has been graded."""
    push: Push | None = None
    """What brought its files first."""
    terms: Terms | None = None
    attempts: int = 0
    """Different submissions that were graded."""
    closed: bool = False
    """Whether it was too late for anything when the repository was last looked at."""

    @property
    def verdict(self) -> str | None:
        """unlocked, provisional, not_yet, error; None when nobody has begun."""
        return None if self.grading is None else self.grading.verdict

    @property
    def days_late(self) -> int:
        """Days begun since it was due."""
        return 0 if self.terms is None or self.push is None else self.terms.days_late(self.push.at)

    @property
    def factor(self) -> float:
        """What lateness leaves of the score."""
        return 1.0 if self.terms is None or self.push is None else self.terms.factor(self.push.at)

    @property
    def points(self) -> float | None:
        """0 to 100: the share of criteria met, times what lateness leaves.

        None for an error, since nobody knows, and for what is not begun while it still can be.
        """
        if self.grading is None:
            return 0.0 if self.closed else None
        if self.grading.verdict == "error":
            return None
        return round(FULL * self.grading.met / max(1, self.grading.criteria) * self.factor, 2)


def scores(book: Gradebook, manifest: Manifest) -> dict[str, dict[int, Score]]:
    """Every enrolled student's score in every milestone that is built: id → milestone → score."""
    pushes, gradings, visits = book.pushes(), book.gradings(), book.visits()
    arrivals = _arrivals(book.handed_in(), gradings, pushes)
    by_key: dict[tuple[str, int], list[Grading]] = {}
    for grading in gradings:
        by_key.setdefault((grading.student, grading.milestone), []).append(grading)
    built = [milestone for milestone in manifest.milestones if milestone.status is Status.BUILT]
    return {
        row.id: {
            m.id: _score(row, m, manifest, by_key.get((row.id, m.id), []), arrivals, visits.get(row.id)) for m in built
        }
        for row in book.students()
    }


def _score(
    row: Row,
    milestone: Milestone,
    manifest: Manifest,
    gradings: list[Grading],
    arrivals: dict[tuple[str, int, str], Push],
    visit: Visit | None,
) -> Score:
    due = terms(manifest.deadlines, milestone.id, row)
    closed = due is not None and visit is not None and visit.at > due.last
    none, latest = Score(row.id, milestone.id, terms=due, closed=closed), _latest(gradings)
    candidates = [
        replace(
            none,
            grading=grading,
            push=arrivals.get((row.id, milestone.id, grading.submission_digest)),
            attempts=len(latest),
        )
        for grading in latest
    ]
    return max(candidates, key=lambda s: (s.points or 0.0, RANK[s.verdict or "error"], _early(s)), default=none)


def _latest(gradings: Iterable[Grading]) -> list[Grading]:
    """For each different submission its newest grading that is no error, else its newest."""
    found: dict[str, Grading] = {}
    for grading in gradings:  # in order of time
        if grading.verdict != "error" or found.get(grading.submission_digest, grading).verdict == "error":
            found[grading.submission_digest] = grading
    return list(found.values())


def _early(score: Score) -> float:
    """Larger for what came earlier."""
    return -score.push.at.timestamp() if score.push is not None else float("-inf")


def _arrivals(
    handed_in: Iterable[HandedIn], gradings: Iterable[Grading], pushes: dict[str, tuple[Push, ...]]
) -> dict[tuple[str, int, str], Push]:
    """When each submission came first, whichever commit brought it: (student, milestone, digest) → push."""
    brought = {(h.student, h.milestone, h.submission_digest, h.commit) for h in handed_in if h.submission_digest}
    brought |= {(g.student, g.milestone, g.submission_digest, g.commit) for g in gradings}
    found: dict[tuple[str, int, str], Push] = {}
    for student, milestone, digest, commit in brought:
        push = arrived(pushes.get(student, ()), commit)
        key = (student, milestone, digest or "")
        if push is not None and (key not in found or push.at < found[key].at):
            found[key] = push
    return found
