"""The leaderboard: milestones measured repeatedly on one machine, for students who have agreed to be listed.

These runs never affect a grade, and are kept in a separate table. A rank claims no more than the runs support: each
entry shows the range of its runs, and entries whose ranges overlap share a rank.
"""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from desk import git
from desk.gradebook import FILE, Gradebook, format_sortable_utc_time, open_gradebook
from desk.grading_process import GradingTask
from desk.pool import grade_in_processes
from desk.roster import RosterRow
from grading.errors import GraderError
from grading.grade import build_course_record, grade_milestone
from grading.manifest.loader import load_manifest_strictly
from grading.progress import PASSING
from grading.render.progress_watch import ProgressWatch
from grading.result import Picture, Result

COURSE = ""
"""The id that identifies the course's own solution among the students."""
RUNS = 3


@dataclass(frozen=True)
class Board:
    """One figure by which students are ranked."""

    name: str
    milestone: int
    title: str
    unit: str
    lower_is_better: bool
    read: Callable[[Result], tuple[float, ...]]
    """The function that reads the figure's values from a passing run's result: none, one or several."""
    is_relative: bool = False
    """Whether the figure is shown as a multiple of the course's own solution's figure."""


@dataclass(frozen=True)
class LeaderboardRun:
    """One measurement for the leaderboard."""

    student: str
    milestone: int
    commit: str
    course: str
    machine: str
    at: str
    verdict: str
    measured: dict[str, list[float]]


@dataclass(frozen=True)
class BoardEntry:
    """A student, or the course, on a board."""

    student: str
    """The student's id; "" for the course."""
    rank: int | None
    """The rank; None for the course."""
    low: float
    middle: float
    high: float
    runs: int
    failed: int
    """The number of runs in which the milestone was not unlocked again."""


@dataclass(frozen=True)
class Ranking:
    """A board with its entries, best first."""

    board: Board
    entries: tuple[BoardEntry, ...]
    machine: str


def _read_network_size(result: Result) -> tuple[float, ...]:
    """Return the number of values in a network as a one-element tuple, or an empty tuple if it was not measured."""
    return _read_criterion_value(result, "numbers")


def _read_criterion_value(result: Result, name: str) -> tuple[float, ...]:
    """Return the measured value of the criterion with this name as a one-element tuple, or () if there is none."""
    return tuple(c.measured for c in result.criteria if c.name == name and c.measured is not None)


def _find_picture(result: Result, name: str) -> Picture | None:
    """Return the picture of this name in a result, or None if the result has none."""
    return next((picture for picture in result.pictures if picture.name == name), None)


def _read_relative_step_time(result: Result) -> tuple[float, ...]:
    """Return the time of module 13's step as a multiple of its bare matrix products'; return () if not timed."""
    shown = _find_picture(result, "step_microseconds")
    return (shown.values[1] / shown.values[2],) if shown and len(shown.values) == 3 and shown.values[2] else ()


def _read_bits_per_byte(result: Result) -> tuple[float, ...]:
    """Return the bits per byte that the network needs for real text, as a tuple; return () if not measured."""
    shown = _find_picture(result, "rivals_on_text")
    return (shown.values[0] / 1000,) if shown else ()


BOARDS = (
    Board("smallest", 2, "Smallest network at 95% on MNIST", "numbers", True, _read_network_size),
    Board(
        "kernels",
        4,
        "Fastest kernels",
        "times the course's own speed",
        False,
        _read_relative_step_time,
        is_relative=True,
    ),
    Board("seconds", 4, "Fastest to 75% on CIFAR-10", "seconds of training", True, lambda one: one.timing.training),
    Board("bits", 5, "Best text prediction", "bits per byte", True, _read_bits_per_byte),
    Board(
        "functions",
        5,
        "Most functions written correctly",
        "pass@1",
        False,
        lambda one: _read_criterion_value(one, "compositions"),
    ),
)


def run_leaderboard(
    root: Path, folder: Path, watch: ProgressWatch, *, runs: int = RUNS, milestones: Sequence[int] = ()
) -> list[str]:
    """Measure the unlocked milestones of students who agreed until `runs` runs of each are saved; return the problems.

    Submissions run one at a time, and all run once before any runs twice, so that other load on the machine affects all
    of them equally. Runs that are already saved are not repeated, so an interrupted leaderboard continues.
    """
    course, machine = build_course_record(root, load_manifest_strictly(root)).digest, get_machine_name()
    troubles: list[str] = []
    with open_gradebook(folder / FILE) as book:
        tasks = [
            task
            for task in list_leaderboard_tasks(book, root, folder)
            if not milestones or task.milestone in milestones
        ]
        have = [
            (r.student, r.milestone, r.commit)
            for r in read_leaderboard_runs(book)
            if (r.course, r.machine) == (course, machine)
        ]
        todo = [task for turn in range(runs) for task in tasks if have.count(_get_run_key(task)) <= turn]
        watch.begin_phase(f"Measuring {len(todo)} submissions, one at a time", len(todo))
        for done, task in enumerate(todo, start=1):
            watch.report_steps_done(done, f"{task.student or 'the course'}, milestone {task.milestone}")
            try:
                result = _grade_officially(task, root)
            except GraderError as error:
                troubles.append(f"{task.student or 'the course'}, milestone {task.milestone}: {error}")
                continue
            save_leaderboard_run(book, task, result, course, machine)
    return troubles


def list_leaderboard_tasks(book: Gradebook, root: Path, folder: Path) -> list[GradingTask]:
    """List the tasks to run: the last unlocking commits of students who agreed, and the solution if a board uses it."""
    tasks = []
    built = {milestone.id for milestone in load_manifest_strictly(root).milestones}
    for number in sorted({board.milestone for board in BOARDS} & built):
        for row in book.list_students():
            repository = folder.resolve() / "repositories" / f"{row.id}.git"
            commit = _choose_unlocked_commit(book, row.id, number, repository) if row.leaderboard else None
            if commit is not None:
                tasks.append(GradingTask(row.id, number, commit, str(repository)))
        is_relative = any(board.is_relative and board.milestone == number for board in BOARDS)
        if is_relative and any(task.milestone == number for task in tasks):
            tasks.append(GradingTask(COURSE, number, "", ""))
    return tasks


def _choose_unlocked_commit(book: Gradebook, student: str, milestone: int, repository: Path) -> str | None:
    """Return the newest commit that unlocked the milestone, preferably a fetched one, or None if there is none."""
    unlocked = [g.commit for g in book.list_gradings(student) if (g.milestone, g.verdict) == (milestone, "unlocked")]
    fetched = (commit for commit in reversed(unlocked) if repository.is_dir() and git.has_commit(repository, commit))
    return next(fetched, unlocked[-1] if unlocked else None)


def _get_run_key(task: GradingTask) -> tuple[str, int, str]:
    """Return the key that identifies a task's runs: student, milestone and commit."""
    return task.student, task.milestone, task.commit


def _grade_officially(task: GradingTask, root: Path) -> Result:
    """Grade a task officially; raise GraderError if there is no result, or if the grader could not judge."""
    if task.student == COURSE:
        result = grade_milestone(root, task.milestone, official=True, student="course")
    else:
        (found,) = grade_in_processes([task], root, load_manifest_strictly(root), jobs=1)
        if found.result is None:
            raise GraderError(found.problem or "no result")
        result = found.result
    if result.verdict == "error":
        raise GraderError(next((c.explanation for c in result.criteria if c.explanation), None) or "it was not judged")
    return result


def save_leaderboard_run(book: Gradebook, task: GradingTask, result: Result, course: str, machine: str) -> None:
    """Save a run's measurements or, if the run did not unlock the milestone, only its verdict."""
    passed = result.verdict.value in PASSING
    boards = [board for board in BOARDS if board.milestone == task.milestone]
    measured = {board.name: board.read(result) for board in boards if passed and board.read(result)}
    row = (
        *_get_run_key(task),
        course,
        machine,
        format_sortable_utc_time(result.started_at),
        result.verdict.value,
        json.dumps(measured),
    )
    with book.open_transaction() as db:
        db.execute(f"INSERT OR IGNORE INTO rerun VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608 - of ours


def read_leaderboard_runs(book: Gradebook) -> list[LeaderboardRun]:
    """Read every run for the leaderboard, oldest first."""
    columns = "student, milestone, commit_sha, course_digest, machine, at, verdict, measured"
    found = book.run_query(f"SELECT {columns} FROM rerun ORDER BY at, student")  # noqa: S608 - names of ours
    names = [field.name for field in fields(LeaderboardRun)][:-1]
    return [LeaderboardRun(**dict(zip(names, cells, strict=True)), measured=json.loads(last)) for *cells, last in found]


def get_machine_name() -> str:
    """Return this machine's name and architecture, since speeds can be compared only on the same machine."""
    return f"{platform.node()}, {platform.machine()}"


def rank_boards(book: Gradebook, rows: Iterable[RosterRow] | None = None) -> Iterator[Ranking]:
    """Rank the students who agreed, in ``rows`` or among all enrolled ones, on each board that has an entry.

    Only runs with the same version of the course and on the same machine as the newest run are compared, and only each
    student's newest commit counts.
    """
    agreed = {row.id for row in (book.list_students() if rows is None else rows) if row.leaderboard}
    runs = read_leaderboard_runs(book)
    for board in BOARDS:
        mine = [run for run in runs if run.milestone == board.milestone and run.student in agreed | {COURSE}]
        if not mine:
            continue
        comparable = [run for run in mine if (run.course, run.machine) == (mine[-1].course, mine[-1].machine)]
        entries = list(_summarize_runs(board, comparable))
        if any(entry.student != COURSE for entry in entries):
            yield Ranking(board, rank_entries(entries, lower_is_better=board.lower_is_better), mine[-1].machine)


def _summarize_runs(board: Board, runs: Sequence[LeaderboardRun]) -> Iterator[BoardEntry]:
    """Summarize the newest commit's runs of each student, and of the course, if they have values, without a rank."""
    own = [value for run in runs if run.student == COURSE for value in run.measured.get(board.name, ())]
    for student in sorted({run.student for run in runs}):
        of_student = [run for run in runs if run.student == student]
        tried = [run for run in of_student if run.commit == of_student[-1].commit]
        values = [value for run in tried for value in run.measured.get(board.name, ())]
        if board.is_relative:
            values = [statistics.median(own) / value for value in values if value > 0] if own else []
        if values:
            failed = sum(run.verdict not in PASSING for run in tried)
            yield BoardEntry(student, None, min(values), statistics.median(values), max(values), len(tried), failed)


def format_board_value(board: Board, value: float) -> str:
    """Format a value as its board shows it.

    >>> format_board_value(BOARDS[0], 12345.0), format_board_value(BOARDS[4], 0.625)
    ('12,345', '62.5%')
    """
    if board.is_relative:
        return f"{value:.2f}×"
    if board.unit == "pass@1":
        return f"{100 * value:.1f}%"
    return (
        f"{value:,.0f}" if board.unit == "numbers" else f"{value:,.1f} s" if "seconds" in board.unit else f"{value:.3f}"
    )


def rank_entries(entries: Iterable[BoardEntry], *, lower_is_better: bool) -> tuple[BoardEntry, ...]:
    """Sort entries by median, best first. Those whose ranges overlap share a rank, and the course's has none.

    Ranges that overlap through others count as well.
    """
    sign = 1 if lower_is_better else -1

    def get_sortable_range(entry: BoardEntry) -> tuple[float, float]:
        """Return the better end of an entry's range and then the worse one, so that smaller is better in both."""
        return (entry.low, entry.high) if lower_is_better else (-entry.high, -entry.low)

    ranked: list[BoardEntry] = []
    reach, rank, place = float("-inf"), 0, 0
    for entry in sorted(entries, key=lambda one: (get_sortable_range(one), one.student)):
        if entry.student == COURSE:
            ranked.append(entry)
            continue
        place += 1
        best, worst = get_sortable_range(entry)
        if best > reach:
            rank = place
        reach = max(reach, worst)
        ranked.append(replace(entry, rank=rank))
    return tuple(sorted(ranked, key=lambda one: (sign * one.middle, one.student)))
