"""What counts: for each student and milestone the grading that scores most, by when its files were pushed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from desk.deadlines import terms
from desk.decisions import (
    Course,
    InForce,
    Regrade,
    read_courses,
    read_overrides,
    read_regrades,
    select_overrides,
    select_regrades,
)
from desk.gradebook import Gradebook, Grading, HandedIn, Visit
from desk.pushes import Push, arrived
from desk.roster import Row
from grading.deadlines import Terms
from grading.manifest.model import Manifest, Milestone, Status

FULL = 100.0
"""Points of a milestone whose every criterion is met, on time."""
NOTHING = InForce()
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
    course: Course | None = None
    """The course that judged it."""
    is_current: bool = True
    """Whether that is the course as it is now."""
    by_hand: InForce = NOTHING
    """What somebody decided about it."""

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
        """What was measured, and what was decided by hand; None for nothing, and for who is excused."""
        return self.by_hand.apply(self.measured_points)

    @property
    def measured_points(self) -> float | None:
        """0 to 100: the share of the course's points that is earned, times what lateness leaves.

        None for an error, since nobody knows, and for what is not begun while it still can be.
        """
        if self.grading is None:
            return 0.0 if self.closed else None
        if self.grading.verdict == "error":
            return None
        return round(FULL * self.grading.share * self.factor, 2)

    @property
    def judged_by(self) -> str:
        """The course that judged it, in words; empty where nothing is graded."""
        if self.course is None:
            return ""
        return self.course.label + ("" if self.is_current else ", an earlier course")


def scores(
    book: Gradebook, manifest: Manifest, *, today: str | None = None, decision: Regrade | None = None
) -> dict[str, dict[int, Score]]:
    """Every enrolled student's score in every milestone that is built: id → milestone → score.

    ``today`` is the digest of the course as it is now: grades of others are marked. ``decision`` is one that was not
    made yet, to see what it would change.
    """
    pushes, gradings, visits = book.pushes(), book.gradings(), book.visits()
    arrivals = _arrivals(book.handed_in(), gradings, pushes)
    decided = select_regrades([*read_regrades(book), *([decision] if decision else ())])
    courses, overrides = read_courses(book), read_overrides(book)
    by_key: dict[tuple[str, int], list[Grading]] = {}
    for grading in gradings:
        by_key.setdefault((grading.student, grading.milestone), []).append(grading)

    def score(row: Row, milestone: Milestone) -> Score:
        submissions = select_gradings(by_key.get((row.id, milestone.id), []), decided)
        found = _score(row, milestone, manifest, submissions, arrivals, visits.get(row.id))
        found = replace(found, by_hand=select_overrides(overrides.get((row.id, milestone.id), [])))
        if found.grading is None:
            return found
        digest = found.grading.course_digest
        return replace(found, course=courses.get(digest), is_current=today in (None, digest))

    built = [milestone for milestone in manifest.milestones if milestone.status is Status.BUILT]
    return {row.id: {m.id: score(row, m) for m in built} for row in book.students()}


def _score(
    row: Row,
    milestone: Milestone,
    manifest: Manifest,
    submissions: Sequence[Sequence[Grading]],
    arrivals: dict[tuple[str, int, str], Push],
    visit: Visit | None,
) -> Score:
    due = terms(manifest.deadlines, milestone.id, row)
    closed = due is not None and visit is not None and visit.at > due.last
    none = Score(row.id, milestone.id, terms=due, closed=closed)
    candidates = [
        replace(
            none,
            grading=grading,
            push=arrivals.get((row.id, milestone.id, grading.submission_digest)),
            attempts=len(submissions),
        )
        for gradings in submissions
        for grading in gradings
    ]
    return max(candidates, key=lambda s: (s.points or 0.0, RANK[s.verdict or "error"], _early(s)), default=none)


def select_gradings(gradings: Iterable[Grading], regrades: Sequence[Regrade]) -> list[list[Grading]]:
    """For each different submission of one student to one milestone the gradings that count, mostly one.

    A submission keeps what the course that graded it first has given it, until a regrade by another course is decided:
    a course that changes moves no grade by itself. Errors count only where there is nothing else, and what a stand-in's
    data has measured only until the real data have. ``gradings`` are in order of time.
    """
    return [_select_grading(group, regrades) for group in group_submissions(gradings)]


def _select_grading(group: Sequence[Grading], regrades: Sequence[Regrade]) -> list[Grading]:
    sound = [grading for grading in group if grading.verdict != "error"]
    if not sound:
        return [group[-1]]
    firm = [grading for grading in sound if grading.verdict != "provisional"] or sound
    by_course = {grading.course_digest: grading for grading in firm}
    counting = [by_course[_first_course(group)]]
    for regrade in regrades:
        again = by_course.get(regrade.course_digest)
        if again is None or regrade.policy == "pin":
            continue
        counting = [again] if regrade.policy == "replace" else [*(g for g in counting if g is not again), again]
    return counting


def find_replaced(book: Gradebook, student: str) -> frozenset[str]:
    """The ids of a student's gradings whose place another course's has taken by a regrade."""
    decided = select_regrades(read_regrades(book))
    by_milestone: dict[int, list[Grading]] = {}
    for grading in book.gradings(student):
        by_milestone.setdefault(grading.milestone, []).append(grading)
    groups = [group for gradings in by_milestone.values() for group in group_submissions(gradings)]
    return frozenset(
        grading.id
        for group in groups
        for grading in group
        if grading.course_digest not in {g.course_digest for g in _select_grading(group, decided)}
    )


def find_previews(book: Gradebook, student: str | None = None) -> frozenset[str]:
    """The ids of gradings that were made for the preview of a regrade and were never decided to count."""
    decided = {regrade.course_digest for regrade in select_regrades(read_regrades(book)) if regrade.policy != "pin"}
    by_key: dict[tuple[str, int], list[Grading]] = {}
    for grading in book.gradings(student):
        by_key.setdefault((grading.student, grading.milestone), []).append(grading)
    return frozenset(
        grading.id
        for gradings in by_key.values()
        for group in group_submissions(gradings)
        for grading in group
        if grading.course_digest not in decided and grading.course_digest != _first_course(group)
    )


def _first_course(group: Sequence[Grading]) -> str:
    """The course that graded a submission first, as `select_gradings` counts."""
    sound = [grading for grading in group if grading.verdict != "error"] or list(group)
    firm = [grading for grading in sound if grading.verdict != "provisional"] or sound
    return firm[0].course_digest


def group_submissions(gradings: Iterable[Grading]) -> list[list[Grading]]:
    """The gradings of each different submission. The same files are one, and so is the same commit for two courses."""
    groups: list[list[Grading]] = []
    known: dict[str, list[Grading]] = {}
    for grading in gradings:
        group = known.get(grading.submission_digest) or known.get(grading.commit)
        if group is None:
            group = []
            groups.append(group)
        group.append(grading)
        known[grading.submission_digest] = known[grading.commit] = group
    return groups


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
