"""Find the result that counts for each student and milestone: the best one after the deduction for lateness."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from desk.decisions import (
    CourseVersion,
    EffectiveOverride,
    RegradeDecision,
    combine_overrides,
    read_course_versions,
    read_overrides,
    read_regrade_decisions,
    select_latest_regrades,
)
from desk.extensions import find_student_terms
from desk.gradebook import CommitSubmission, Gradebook, Grading, Visit
from desk.pushes import Push, find_first_push
from desk.roster import RosterRow
from grading.deadlines import DeadlineTerms
from grading.manifest.model import BuildStatus, Manifest, Milestone

FULL = 100.0
"""The points for a milestone with every criterion met on time."""
NOTHING = EffectiveOverride()
RANK = {"unlocked": 3, "provisional": 2, "not_yet": 1, "error": 0}


@dataclass(frozen=True)
class Score:
    """One student's score for one milestone."""

    student: str
    milestone: int
    grading: Grading | None = None
    """The result that counts; None if nothing has been graded."""
    push: Push | None = None
    """The first push with the files that were graded."""
    terms: DeadlineTerms | None = None
    attempts: int = 0
    """The number of different submissions that were graded."""
    closed: bool = False
    """Whether it was already too late to earn any points at the last visit to the repository."""
    course: CourseVersion | None = None
    """The version of the course that graded the result."""
    is_current: bool = True
    """Whether the result was graded with the current version of the course."""
    by_hand: EffectiveOverride = NOTHING
    """The manual decisions about the grade."""

    @property
    def verdict(self) -> str | None:
        """The verdict: unlocked, provisional, not_yet or error; None if nothing has been graded."""
        return None if self.grading is None else self.grading.verdict

    @property
    def days_late(self) -> int:
        """The number of days late, where part of a day counts as a day; 0 without a deadline or a known push."""
        return 0 if self.terms is None or self.push is None else self.terms.count_late_days(self.push.at)

    @property
    def remaining_share(self) -> float:
        """The share of the points, 0 to 1, left after the deduction for lateness; 1 without a deadline or push."""
        return 1.0 if self.terms is None or self.push is None else self.terms.compute_remaining_share(self.push.at)

    @property
    def points(self) -> float | None:
        """The points with overrides applied; None if excused, or without any measured points, override or bonus."""
        return self.by_hand.compute_points(self.points_before_overrides)

    @property
    def points_before_overrides(self) -> float | None:
        """The points after deduction for lateness, before overrides; None on error, or if ungraded and still open.

        They are from 0 to 100, and 0 if the milestone is not begun and it is too late to earn points.
        """
        if self.grading is None:
            return 0.0 if self.closed else None
        if self.grading.verdict == "error":
            return None
        return round(FULL * self.grading.share * self.remaining_share, 2)

    @property
    def judging_course_label(self) -> str:
        """The label of the course version that graded it, marked if it is an earlier one; empty if ungraded."""
        if self.course is None:
            return ""
        return self.course.label + ("" if self.is_current else ", an earlier version")


def compute_scores(
    book: Gradebook, manifest: Manifest, *, today: str | None = None, decision: RegradeDecision | None = None
) -> dict[str, dict[int, Score]]:
    """Compute every enrolled student's score for every available milestone; return id → milestone → score.

    ``today`` is the digest of the current version of the course; grades from any other version are marked.
    ``decision`` is a hypothetical regrade, to show what it would change.
    """
    pushes, gradings, visits = book.read_pushes(), book.list_gradings(), book.read_visits()
    arrivals = _map_submissions_to_first_push(book.list_submissions(), gradings, pushes)
    decided = select_latest_regrades([*read_regrade_decisions(book), *([decision] if decision else ())])
    courses, overrides = read_course_versions(book), read_overrides(book)
    by_key: dict[tuple[str, int], list[Grading]] = {}
    for grading in gradings:
        by_key.setdefault((grading.student, grading.milestone), []).append(grading)

    def compute_one_score(row: RosterRow, milestone: Milestone) -> Score:
        """Compute one student's score, with its overrides and the version of the course that graded it."""
        submissions = select_gradings(by_key.get((row.id, milestone.id), []), decided)
        found = _compute_score(row, milestone, manifest, submissions, arrivals, visits.get(row.id))
        found = replace(found, by_hand=combine_overrides(overrides.get((row.id, milestone.id), [])))
        if found.grading is None:
            return found
        digest = found.grading.course_digest
        return replace(found, course=courses.get(digest), is_current=today in (None, digest))

    built = [milestone for milestone in manifest.milestones if milestone.status is BuildStatus.BUILT]
    return {row.id: {m.id: compute_one_score(row, m) for m in built} for row in book.list_students()}


def _compute_score(
    row: RosterRow,
    milestone: Milestone,
    manifest: Manifest,
    submissions: Sequence[Sequence[Grading]],
    arrivals: dict[tuple[str, int, str], Push],
    visit: Visit | None,
) -> Score:
    """Compute a student's score for a milestone from the results of each submission; the best submission counts."""
    due = find_student_terms(manifest.deadlines, milestone.id, row)
    closed = due is not None and visit is not None and visit.at > due.last_scoring_moment
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
    return max(
        candidates, key=lambda s: (s.points or 0.0, RANK[s.verdict or "error"], _compute_earliness_key(s)), default=none
    )


def select_gradings(gradings: Iterable[Grading], regrades: Sequence[RegradeDecision]) -> list[list[Grading]]:
    """Select the results that count, usually one, for each submission by one student for one milestone.

    The version of the course that first graded a submission counts until the instructor decides on a regrade with a
    different version, so a mere change to the course changes no grade. Errors count only if there is no other result.
    Results on stand-in data count only until there are results on the real data. ``gradings`` are in order of time.
    """
    return [_select_submission_gradings(group, regrades) for group in group_by_submission(gradings)]


def _select_submission_gradings(group: Sequence[Grading], regrades: Sequence[RegradeDecision]) -> list[Grading]:
    """Select the results for one submission that count after these regrades."""
    sound = [grading for grading in group if grading.verdict != "error"]
    if not sound:
        return [group[-1]]
    firm = [grading for grading in sound if grading.verdict != "provisional"] or sound
    by_course = {grading.course_digest: grading for grading in firm}
    counting = [by_course[_find_first_course(group)]]
    for regrade in regrades:
        again = by_course.get(regrade.course_digest)
        if again is None or regrade.policy == "pin":
            continue
        counting = [again] if regrade.policy == "replace" else [*(g for g in counting if g is not again), again]
    return counting


def find_replaced_gradings(book: Gradebook, student: str) -> frozenset[str]:
    """Find the ids of a student's results, even previews, by course versions that do not count for that submission."""
    decided = select_latest_regrades(read_regrade_decisions(book))
    by_milestone: dict[int, list[Grading]] = {}
    for grading in book.list_gradings(student):
        by_milestone.setdefault(grading.milestone, []).append(grading)
    groups = [group for gradings in by_milestone.values() for group in group_by_submission(gradings)]
    return frozenset(
        grading.id
        for group in groups
        for grading in group
        if grading.course_digest not in {g.course_digest for g in _select_submission_gradings(group, decided)}
    )


def find_preview_gradings(book: Gradebook, student: str | None = None) -> frozenset[str]:
    """Find the ids of results that exist only because somebody previewed a regrade."""
    decided = {
        regrade.course_digest
        for regrade in select_latest_regrades(read_regrade_decisions(book))
        if regrade.policy != "pin"
    }
    by_key: dict[tuple[str, int], list[Grading]] = {}
    for grading in book.list_gradings(student):
        by_key.setdefault((grading.student, grading.milestone), []).append(grading)
    return frozenset(
        grading.id
        for gradings in by_key.values()
        for group in group_by_submission(gradings)
        for grading in group
        if grading.course_digest not in decided and grading.course_digest != _find_first_course(group)
    )


def _find_first_course(group: Sequence[Grading]) -> str:
    """Return the course digest of a submission's first result that is, if possible, no error and not provisional."""
    sound = [grading for grading in group if grading.verdict != "error"] or list(group)
    firm = [grading for grading in sound if grading.verdict != "provisional"] or sound
    return firm[0].course_digest


def group_by_submission(gradings: Iterable[Grading]) -> list[list[Grading]]:
    """Group one student's results for a milestone by submission, which is identical files or the same commit."""
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


def _compute_earliness_key(score: Score) -> float:
    """Return a number that is larger for an earlier push, and minus infinity without a push."""
    return -score.push.at.timestamp() if score.push is not None else float("-inf")


def _map_submissions_to_first_push(
    handed_in: Iterable[CommitSubmission], gradings: Iterable[Grading], pushes: dict[str, tuple[Push, ...]]
) -> dict[tuple[str, int, str], Push]:
    """Map (student, milestone, digest) to the first push that contained that submission, in any commit."""
    brought = {(h.student, h.milestone, h.submission_digest, h.commit) for h in handed_in if h.submission_digest}
    brought |= {(g.student, g.milestone, g.submission_digest, g.commit) for g in gradings}
    found: dict[tuple[str, int, str], Push] = {}
    for student, milestone, digest, commit in brought:
        push = find_first_push(pushes.get(student, ()), commit)
        key = (student, milestone, digest or "")
        if push is not None and (key not in found or push.at < found[key].at):
            found[key] = push
    return found
