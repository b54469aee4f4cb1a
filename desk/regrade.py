"""`inv regrade`: regrade submissions that an earlier version of the course graded, and show whose grades change.

The instructor then decides which results count. Preview results are saved like any others, but do not count until the
instructor decides to regrade (`desk.scores`).
"""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from desk.class_folder import format_folder_option
from desk.collect import StudentProblem, TaskGrader, choose_task_grader, grade_tasks, lock_class_folder
from desk.courses import build_course_version, compare_courses
from desk.decisions import (
    Policy,
    RegradeDecision,
    read_course_versions,
    read_regrade_decisions,
    save_course_version,
    save_regrade_decision,
    select_latest_regrades,
)
from desk.gradebook import FILE, Gradebook, Grading, open_gradebook
from desk.grading_process import GradingTask
from desk.inspection import InspectionContext, choose_commits_to_grade
from desk.pushes import ReflogSource
from desk.roster import RosterRow
from desk.scores import Score, compute_scores, group_by_submission
from grading.manifest.loader import load_manifest_strictly
from grading.render import figure_text, words
from grading.render.progress_watch import ProgressWatch
from grading.render.text import to_one_line
from grading.result import CriterionResult, Result

ScoreTable = dict[str, dict[int, Score]]


@dataclass(frozen=True)
class CriterionChange:
    """A criterion whose outcome has changed."""

    title: str
    before: str
    after: str


@dataclass(frozen=True)
class GradeChange:
    """One student's grade for one milestone, before and after a regrade."""

    row: RosterRow
    before: Score
    after: Score
    criteria: tuple[CriterionChange, ...]


@dataclass(frozen=True)
class RegradeSummary:
    """A summary of what a regrade changed or would change."""

    course: str
    """The label of the current version of the course."""
    changes: tuple[GradeChange, ...]
    unchanged: int
    """The number of grades that were regraded without any change."""
    earlier: tuple[Score, ...]
    """The grades that still come from an earlier version, because they are pinned or cannot be regraded."""
    graded: int
    troubles: tuple[StudentProblem, ...]


def regrade_class(
    root: Path,
    folder: Path,
    rows: Sequence[RosterRow],
    watch: ProgressWatch,
    *,
    policy: Policy = "replace",
    preview: bool = False,
    by: str = "",
    jobs: int | None = None,
    cluster: str = "",
) -> RegradeSummary:
    """Regrade what earlier versions of the course graded, and save `policy`, which decides which results count.

    With ``preview``, no decision is saved, and the summary shows what ``policy`` would change. ``pin`` grades nothing
    and leaves every grade unchanged. No server is contacted. Raise ManifestError, UsageError or GraderError before
    anything is changed.
    """
    manifest = load_manifest_strictly(root)
    graders = choose_task_grader(root, manifest, watch, jobs, cluster) if policy != "pin" else None
    now = build_course_version(root, manifest)
    decision = RegradeDecision(now.digest, datetime.now(UTC), policy, by or getpass.getuser())
    with lock_class_folder(folder, watch), open_gradebook(folder / FILE) as book:
        save_course_version(book, now)
        troubles: list[StudentProblem] = []
        before = compute_scores(book, manifest, today=now.digest)
        graded = 0
        if graders is not None:
            context = InspectionContext(folder.resolve(), folder, manifest, {}, ReflogSource())
            graded = _grade_outdated_submissions(book, rows, context, now.digest, graders, watch, troubles)
        after = compute_scores(book, manifest, today=now.digest, decision=decision)
        changes = tuple(_list_grade_changes(book, before, after))
        if not preview:
            save_regrade_decision(book, decision)
    changed = {(change.after.student, change.after.milestone) for change in changes}
    all_after = [score for reached in after.values() for score in reached.values() if score.grading is not None]
    judged = {(s.student, s.milestone) for reached in before.values() for s in reached.values() if not s.is_current}
    return RegradeSummary(
        course=now.label,
        changes=changes,
        unchanged=sum(s.is_current and (s.student, s.milestone) in judged - changed for s in all_after),
        earlier=tuple(score for score in all_after if not score.is_current),
        graded=graded,
        troubles=tuple(troubles),
    )


def _grade_outdated_submissions(
    book: Gradebook,
    rows: Sequence[RosterRow],
    context: InspectionContext,
    today: str,
    graders: TaskGrader,
    watch: ProgressWatch,
    troubles: list[StudentProblem],
) -> int:
    """Run each regrade task once, even those that arise meanwhile, add to `troubles`, and return the graded count."""
    tried: set[GradingTask] = set()
    graded = 0
    while tasks := [task for task in list_regrade_tasks(book, rows, context, today) if task not in tried]:
        tried.update(tasks)
        graded += grade_tasks(book, tasks, graders, watch, troubles)
    return graded


def list_regrade_tasks(
    book: Gradebook, rows: Sequence[RosterRow], context: InspectionContext, today: str
) -> list[GradingTask]:
    """List what digest `today` must regrade: the submissions that count, the newest, and the last before deadlines."""
    hypothetical = RegradeDecision(today, datetime.max.replace(tzinfo=UTC), "replace", "")
    counting = compute_scores(book, context.manifest, today=today, decision=hypothetical)
    visits, pushes = book.read_visits(), book.read_pushes()
    by_key: dict[tuple[str, int], list[Grading]] = {}
    for grading in book.list_gradings():
        by_key.setdefault((grading.student, grading.milestone), []).append(grading)
    handed_in = {(h.student, h.commit, h.milestone): h.submission_digest for h in book.list_submissions()}
    tasks = []
    for row in rows:
        visit = visits.get(row.id)
        wanted = (
            choose_commits_to_grade(row, pushes.get(row.id, ()), visit.commit, context)
            if visit and visit.commit
            else {}
        )
        for milestone in context.milestones:
            score = counting.get(row.id, {}).get(milestone.id)
            marks = {score.grading.submission_digest} if score and score.grading else set()
            for commit, milestones in wanted.items():
                if milestone.id in milestones:
                    marks |= {commit, handed_in.get((row.id, commit, milestone.id)) or commit}
            for group in group_by_submission(by_key.get((row.id, milestone.id), [])):
                known = {g.submission_digest for g in group} | {g.commit for g in group}
                judged = any(g.course_digest == today and g.verdict != "error" for g in group)
                if not judged and known & marks and any(g.verdict != "error" for g in group):
                    asked = book.load_result(group[-1].id).submission.student
                    other = asked if asked != row.id else None
                    tasks.append(
                        GradingTask(
                            row.id, milestone.id, group[-1].commit, str(context.get_repository_path(row.id)), other
                        )
                    )
    return sorted(tasks, key=lambda t: (t.milestone, t.student, t.commit))


def _list_grade_changes(book: Gradebook, before: ScoreTable, after: ScoreTable) -> Iterator[GradeChange]:
    """List the grades whose points or verdict differ, by student and milestone."""
    rows = {row.id: row for row in book.list_students()}
    for student, reached in sorted(after.items()):
        for milestone, new in sorted(reached.items()):
            old = before[student][milestone]
            if (old.points, old.verdict) != (new.points, new.verdict):
                results = [book.load_result(s.grading.id) if s.grading else None for s in (old, new)]
                yield GradeChange(rows[student], old, new, tuple(_compare_criteria(*results)))


def _compare_criteria(before: Result | None, after: Result | None) -> Iterator[CriterionChange]:
    """List the criteria whose status differs, in the order of the newer result."""
    old = {c.name: c for c in (before.criteria if before else ())}
    new = {c.name: c for c in (after.criteria if after else ())}
    for name in {**new, **old}:
        was, now = old.get(name), new.get(name)
        if (was and was.status) != (now and now.status):
            title = to_one_line((now or was or old[name]).title, 120)
            yield CriterionChange(title, _describe_criterion_outcome(was), _describe_criterion_outcome(now))


def _describe_criterion_outcome(criterion: CriterionResult | None) -> str:
    """Describe a criterion's status, measured value and required value, or return "not required" for None."""
    if criterion is None:
        return "not required"
    status = words.STATUS_NAMES[criterion.status]
    if criterion.measured is None:
        return status
    return f"{status}: {figure_text.format_measured(criterion)}, required {figure_text.format_threshold(criterion)}"


def describe_course_change(root: Path, folder: Path) -> Iterator[str]:
    """Describe in sentences how the course has changed since the class's earlier grades, and what to do about them.

    Yield nothing if the class has no grades from an earlier version.
    """
    if not (folder / FILE).is_file():
        return
    manifest, where = load_manifest_strictly(root), format_folder_option(folder)
    now = build_course_version(root, manifest)
    with open_gradebook(folder / FILE) as book:
        reached, courses = compute_scores(book, manifest, today=now.digest), read_course_versions(book)
        decided = {one.course_digest: one.policy for one in select_latest_regrades(read_regrade_decisions(book))}
    earlier = [score for one in reached.values() for score in one.values() if score.grading and not score.is_current]
    if not earlier:
        return
    by_milestone = Counter(score.milestone for score in earlier)
    counts = ", ".join(f"{count} of milestone {number}" for number, count in sorted(by_milestone.items()))
    students = len({score.student for score in earlier})
    yield (
        f"The course has changed: {len(earlier)} grades of {students} students come from an earlier "
        f"version ({counts}). They are unchanged but flagged. New submissions are graded with the current version."
    )
    for digest in sorted({score.grading.course_digest for score in earlier if score.grading}):
        course = courses.get(digest)
        if course is not None and course.contents and now.contents:
            yield from (
                f"Since {course.label}: {sentence}" for sentence in compare_courses(course.contents, now.contents)
            )
    if decided.get(now.digest) == "pin":
        yield f"Earlier grades are pinned. To regrade them after all, run: inv regrade{where}"
    else:
        yield (
            f"To see which grades would change, run: inv regrade --preview{where}. "
            "To decide, run inv regrade by itself, or with --keep-better or --pin."
        )


def format_points_without_maximum(score: Score) -> str:
    """Format a score's points without the maximum, such as "7.5", or "—" if there are none."""
    return "—" if score.points is None else f"{score.points:g}"
