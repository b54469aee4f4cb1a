"""Find grades that may be out of date: after a newer push or a change to the course, or without a recent visit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from desk.gradebook import Gradebook, Visit
from desk.pushes import Push
from desk.scores import Score

LATE = timedelta(days=1)
"""How far a repository's last visit may lag behind the newest visit to any repository."""
Scores = Mapping[str, Mapping[int, Score]]


def find_stale_grades(
    book: Gradebook, scores: Scores, newest_visit: datetime | None
) -> dict[tuple[str, int], tuple[str, ...]]:
    """Map (student, milestone) to the reasons why that grade may be out of date; current grades are left out."""
    visits, pushes = book.read_visits(), book.read_pushes()
    handed_in: dict[tuple[str, str, int], str | None] = {}
    for one in book.list_submissions():
        key = (one.student, one.commit, one.milestone)
        handed_in[key] = handed_in.get(key) or one.submission_digest
    sound = [g for g in book.list_gradings() if g.verdict != "error"]
    graded = {(g.student, g.milestone, mark) for g in sound for mark in (g.submission_digest, g.commit)}
    found = {}
    for student, by_milestone in scores.items():
        visit = visits.get(student)
        newest = _find_newest_push(pushes.get(student, ()), visit)
        for milestone, score in by_milestone.items():
            reasons = []
            if newest is not None:
                key = (student, newest.commit, milestone)
                digest = handed_in.get(key)
                known = key in handed_in or (student, milestone, newest.commit) in graded
                is_newer = score.grading is not None and newest.at > score.grading.started_at
                if (digest and (student, milestone, digest) not in graded) or (is_newer and not known):
                    reasons.append(f"the push of {newest.at:%Y-%m-%d %H:%M} UTC has not been graded yet")
            reasons += _explain_staleness(score, visit, newest_visit)
            if reasons:
                found[student, milestone] = tuple(reasons)
    return found


def _find_newest_push(pushes: tuple[Push, ...], visit: Visit | None) -> Push | None:
    """Find the newest push to the branch that is graded or, if that is unknown, to any branch."""
    if visit is not None and visit.branch is not None:
        pushes = tuple(push for push in pushes if push.branch == visit.branch)
    return pushes[-1] if pushes else None


def _explain_staleness(score: Score, visit: Visit | None, newest_visit: datetime | None) -> Iterator[str]:
    """Yield why a graded score may be out of date: an older course, an unreadable repository or no recent visit."""
    if score.grading is None:
        return
    if not score.is_current:
        yield f"it was graded by {score.judging_course_label}"
    if visit is not None and visit.problem:
        yield "the last collection could not read the repository"
    elif visit is not None and newest_visit is not None and newest_visit - visit.at > LATE:
        yield f"the repository was last visited on {visit.at:%Y-%m-%d}"
