"""`inv collect`: inspect every repository, then grade new submissions; each step is saved as soon as it is done.

The remaining work is always derived from the gradebook, so an interrupted collection continues where it stopped.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from course.release import compute_skeleton_digests
from desk.class_folder import make_class_folder
from desk.courses import build_course_version
from desk.decisions import save_course_version
from desk.git import read_git_version
from desk.gradebook import FILE, CommitSubmission, Gradebook, Grading, open_gradebook
from desk.grading_process import GradingTask
from desk.inspection import Inspection, InspectionContext, KnownState, choose_commits_to_grade, inspect_repository
from desk.members import RosterChanges, compare_roster
from desk.pool import TaskOutcome, count_available_cores, grade_in_processes
from desk.pushes import PushTimeSource, ReflogSource, find_first_push
from desk.roster import RosterRow
from grading.data.files import locate_data_set
from grading.data.load import find_data_source
from grading.errors import GraderError, UsageError
from grading.files import BusyError, lock_file
from grading.grade import build_course_record
from grading.manifest.loader import load_manifest_strictly
from grading.manifest.model import Manifest
from grading.render.progress_watch import ProgressWatch
from grading.sandbox.launch import choose_fence

PARALLEL_INSPECTIONS = 16
"""The number of repositories to inspect in parallel; inspection is mostly waiting, so cores do not limit it."""
FREE_BYTES = 1 << 30


@dataclass(frozen=True)
class StudentProblem:
    """A problem with one student that did not stop the collection."""

    student: str
    problem: str


@dataclass(frozen=True)
class CollectionSummary:
    """A summary of what a collection did."""

    students: int
    changed: int
    """The number of students whose repositories had something new."""
    graded: int
    """Milestones measured."""
    troubles: tuple[StudentProblem, ...]
    guessed: int
    """The number of students for whose newest push no server has reported a time; 0 if there are no deadlines."""
    roster: RosterChanges = field(default_factory=RosterChanges)
    """The students who joined or left since the last collection."""


def collect_class(
    root: Path,
    folder: Path,
    rows: Sequence[RosterRow],
    times: PushTimeSource,
    watch: ProgressWatch,
    *,
    base: Path | None = None,
    jobs: int | None = None,
    students: frozenset[str] | None = None,
    fetch: bool = True,
    grade: bool = True,
    cluster: str = "",
) -> CollectionSummary:
    """Enroll the roster's ``rows``, inspect their repositories, and grade new submissions into ``folder``'s gradebook.

    ``base`` is the folder that the roster's relative paths start from; ``students`` are those of a shard. Without
    ``fetch``, only commits that were fetched before are graded. No server is then contacted, so no token is needed on
    the machine that runs student code. Without ``grade``, no student code is run. ``cluster`` is the address of a Dask
    scheduler whose workers grade. Raise ManifestError, UsageError or GraderError before anything is changed, and
    GraderError if the connection to the cluster is lost. Problems with individual students are in `troubles`.
    """
    manifest, choice = load_manifest_strictly(root), [row for row in rows if students is None or row.id in students]
    graders = choose_task_grader(root, manifest, watch, jobs, cluster) if grade else None
    read_git_version()
    now = build_course_version(root, manifest)
    course = now.digest
    make_class_folder(folder)
    with lock_class_folder(folder, watch), open_gradebook(folder / FILE, make=True) as book:
        require_disk_space(folder)
        roster = compare_roster(book, rows)
        save_course_version(book, now)
        book.set_enrolled_students(rows)
        context = InspectionContext(
            folder.resolve(), base or Path.cwd(), manifest, compute_skeleton_digests(root, manifest), times
        )
        changed, troubles = _inspect_repositories(book, choice, context, course, watch) if fetch else (0, [])
        graded = (
            grade_tasks(book, list_pending_tasks(book, choice, context, course), graders, watch, troubles)
            if graders
            else 0
        )
        guessed = _count_guessed_push_times(book, choice) if manifest.deadlines is not None else 0
    troubles.sort(key=lambda trouble: trouble.student)
    return CollectionSummary(len(choice), changed, graded, tuple(troubles), guessed, roster)


@contextlib.contextmanager
def lock_class_folder(folder: Path, watch: ProgressWatch, chore: str = "collect") -> Iterator[None]:
    """Hold a lock so that only one `inv` command of this name works in the folder; raise UsageError if it is taken.

    The lock is released even if the command is killed. On a disk without file locks, nothing is locked, and a message
    says so.
    """
    with (folder / f"{chore}.lock").open("w") as file:
        try:
            if not lock_file(file):
                watch.begin_phase(
                    f"The disk that holds {folder} has no file locks, so run only one `inv {chore}` at a time", None
                )
        except BusyError:
            raise UsageError(f"Another `inv {chore}` is running in {folder}. Wait for it, or stop it.") from None
        yield


def require_disk_space(folder: Path) -> None:
    """Raise GraderError if the disk that holds this folder has less than 1 GiB free."""
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise GraderError(
            f"The disk that holds {folder} has only {free >> 20} MB left. Free 1 GB, or choose a different --folder."
        )


def count_pending_work(root: Path, folder: Path, rows: Sequence[RosterRow]) -> int:
    """Count the submissions waiting to be graded or, before the first collection, the students."""
    if not (folder / FILE).is_file():
        return len(rows)
    manifest = load_manifest_strictly(root)
    context = InspectionContext(folder.resolve(), folder, manifest, {}, ReflogSource())
    with open_gradebook(folder / FILE) as book:
        return len(list_pending_tasks(book, rows, context, build_course_record(root, manifest).digest))


def _inspect_repositories(
    book: Gradebook, rows: Sequence[RosterRow], context: InspectionContext, course: str, watch: ProgressWatch
) -> tuple[int, list[StudentProblem]]:
    """Fetch and inspect repositories in parallel, save findings, and return (number with new work, problems)."""
    known, changed, troubles = _load_known_states(book, course), 0, []
    watch.begin_phase(f"Inspecting {len(rows)} repositories", len(rows))
    with ThreadPoolExecutor(PARALLEL_INSPECTIONS) as pool:
        asked = [
            pool.submit(inspect_repository, row, known.get(row.id, KnownState()), context, datetime.now(UTC))
            for row in rows
        ]
        try:
            for done, future in enumerate(as_completed(asked), start=1):
                found = future.result()
                changed += _save_inspection(book, found, course)
                if found.visit.problem is not None:
                    troubles.append(StudentProblem(found.visit.student, found.visit.problem))
                watch.report_steps_done(done, found.visit.student)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return changed, troubles


def _load_known_states(book: Gradebook, course: str) -> dict[str, KnownState]:
    """Map each student's id to their last visit, their pushes, and the commits examined with this course version."""
    visits, pushes = book.read_visits(), book.read_pushes()
    commits: dict[str, set[str]] = {}
    for one in book.list_submissions():
        if one.course_digest == course:
            commits.setdefault(one.student, set()).add(one.commit)
    students = {*visits, *pushes, *commits}
    return {s: KnownState(visits.get(s), pushes.get(s, ()), frozenset(commits.get(s, ()))) for s in students}


def _save_inspection(book: Gradebook, inspection: Inspection, course: str) -> bool:
    """Save an inspection's findings, the visit last to confirm them; return whether it has new commits or records."""
    student = inspection.visit.student
    if inspection.pushes:
        book.save_pushes(student, inspection.pushes)
    if inspection.handed_in:
        book.save_submissions(
            CommitSubmission(student, commit, course, milestone, digest)
            for commit, digests in inspection.handed_in.items()
            for milestone, digest in digests.items()
        )
    if inspection.records is not None:
        book.save_records(student, inspection.records)
    book.save_visit(inspection.visit)
    return bool(inspection.handed_in) or inspection.records is not None


def list_pending_tasks(
    book: Gradebook, rows: Sequence[RosterRow], context: InspectionContext, course: str
) -> list[GradingTask]:
    """List the newest submissions, and the last before deadlines, that are not graded yet, early milestones first.

    Commits with the same submission are listed once. A submission whose result is an error does not count as graded.
    Submissions that were measured on stand-in data are graded again once the real data are on this machine.
    """
    visits, pushes = book.read_visits(), book.read_pushes()
    digests: dict[tuple[str, str, int], str | None] = {
        (one.student, one.commit, one.milestone): one.submission_digest
        for one in book.list_submissions()
        if one.course_digest == course
    }
    here = {m.id: m.data is None or not locate_data_set(find_data_source(m.data)).missing for m in context.milestones}
    # Results from any version of the course count as graded here. `inv regrade` handles those from earlier versions.
    stands = [g for g in book.list_gradings() if _is_final_grading(g, here)]
    done = {(g.student, g.milestone, known) for g in stands for known in (g.submission_digest, g.commit)}
    tasks: dict[tuple[str, int, str], GradingTask] = {}
    for row in rows:
        visit = visits.get(row.id)
        if visit is None or visit.commit is None:
            continue
        for commit, milestones in choose_commits_to_grade(row, pushes.get(row.id, ()), visit.commit, context).items():
            for milestone in milestones:
                digest = digests.get((row.id, commit, milestone))
                key = (row.id, milestone, digest or "")
                is_done = key in done or (row.id, milestone, commit) in done
                if digest is not None and not is_done and key not in tasks:
                    tasks[key] = GradingTask(row.id, milestone, commit, str(context.get_repository_path(row.id)))
    return sorted(tasks.values(), key=lambda t: (t.milestone, t.student, t.commit))


def _is_final_grading(grading: Grading, has_real_data: Mapping[int, bool]) -> bool:
    """Return whether a result is final: no error, and not provisional although this machine has the real data."""
    if grading.verdict == "error":
        return False
    return grading.verdict != "provisional" or not has_real_data.get(grading.milestone, True)


def _count_guessed_push_times(book: Gradebook, rows: Sequence[RosterRow]) -> int:
    """Count the students for whose newest push no server has reported a time."""
    visits, pushes = book.read_visits(), book.read_pushes()
    heads = [(row.id, visits[row.id].commit) for row in rows if row.id in visits]
    found = [find_first_push(pushes.get(student, ()), commit) for student, commit in heads if commit is not None]
    return sum(push is not None and push.source == "seen" for push in found)


TaskGrader = Callable[[Sequence[GradingTask]], Iterator[TaskOutcome]]
"""The type of a function that grades tasks and yields one outcome for each, in the order in which they finish."""


def choose_task_grader(
    root: Path, manifest: Manifest, watch: ProgressWatch, jobs: int | None, cluster: str
) -> TaskGrader:
    """Return a grader of tasks, here or on a cluster. Raise GraderError (no sandbox) or UsageError (no Dask)."""
    if cluster:
        from desk.cluster import grade_on_cluster, require_dask

        require_dask()
        return partial(grade_on_cluster, address=cluster, root=root, manifest=manifest, watch=watch)
    choose_fence(official=True)
    processes = jobs or count_available_cores()

    def grade_on_this_machine(tasks: Sequence[GradingTask]) -> Iterator[TaskOutcome]:
        """Grade the tasks in processes on this machine, and yield each outcome."""
        watch.begin_phase(f"Grading {len(tasks)} submissions, {min(processes, len(tasks))} at a time", len(tasks))
        return grade_in_processes(tasks, root, manifest, jobs=processes)

    return grade_on_this_machine


def grade_tasks(
    book: Gradebook,
    tasks: Sequence[GradingTask],
    graders: TaskGrader,
    watch: ProgressWatch,
    troubles: list[StudentProblem],
) -> int:
    """Grade every task, save each result as it arrives, add problems to `troubles`, and return the result count."""
    graded = 0
    for done, one in enumerate(graders(tasks) if tasks else (), start=1):
        about = f"milestone {one.task.milestone}"
        if one.result is not None:
            book.save_result(one.task.student, one.result)
            graded += 1
            if one.result.verdict == "error":
                reason = next((c.explanation for c in one.result.criteria if c.status == "error"), "no reason given")
                troubles.append(StudentProblem(one.task.student, f"{about} could not be judged: {reason}"))
        else:
            troubles.append(StudentProblem(one.task.student, f"{about} was not graded: {one.problem}"))
        watch.report_steps_done(done, f"{one.task.student}, {about}")
    return graded
