"""Measure the cost of showing and comparing an invented class of 800, made as a gradebook and as submissions."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from course.cohorts import START, write_simulated_records
from course.skeleton import make_skeleton, make_solution
from desk.class_folder import make_class_folder
from desk.gradebook import FILE, CommitSubmission, Gradebook, PublishedRecord, Visit, open_gradebook
from desk.pushes import Push
from desk.roster import RosterRow
from grading import progress
from grading.errors import GraderError
from grading.grade import build_course_record
from grading.manifest.loader import load_manifest
from grading.manifest.model import BuildStatus, Manifest
from grading.progress import Event
from grading.result import CourseRecord, Result
from grading.submission import list_source_files
from tests.bench.bench_figure import ROOT, BenchmarkFigure, copy_environment_without_nox
from tests.bench.peak_memory import run_and_measure

STUDENTS, RESULTS, TIMES = 800, 2444, 13
MAIN = "refs/heads/main"


def time_class_pages() -> Iterator[BenchmarkFigure]:
    """Time the site, the report and the exports for 800 students, and report and export for thirteen times as many."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        small, large = place / "small", place / "large"
        rows, results = write_gradebook(small, load_manifest(ROOT))
        how, peaks = f"{STUDENTS} students with {results:,} results", []

        def run_chore(chore: str, folder: Path, *options: str) -> float:
            """Run a chore on a class, and return the seconds it takes."""
            command = [sys.executable, "-m", "invoke", chore, "--folder", str(folder), *options]
            taken, peak = run_and_measure(command, ROOT, copy_environment_without_nox())
            if folder == small:
                peaks.append(peak)
            return taken

        site = ("--to", str(place / "site"))
        yield BenchmarkFigure("a site from scratch", run_chore("site", small, *site), 20, "s", how)
        _add_one_result(small, rows[0])
        yield BenchmarkFigure("the site with one student changed", run_chore("site", small, *site), 2, "s", how)
        report = ("report", "--to", str(place / "report.html"))
        export = ("gradebook", "--format", "canvas", "--to", str(place / "canvas.csv"))
        _multiply_class(small, large, TIMES)
        for (chore, *options), goal, title in ((report, 3, "the class report"), (export, 1, "an export for Canvas")):
            taken = run_chore(chore, small, *options)
            yield BenchmarkFigure(title, taken, goal, "s", how)
            many = run_chore(chore, large, *options)
            told = f"{TIMES * STUDENTS:,} students in {many:.1f} s, {STUDENTS} in {taken:.1f} s"
            yield BenchmarkFigure(
                f"{title}, a student's cost in a class {TIMES} times as large", many / taken / TIMES, 1.25, "×", told
            )
        yield BenchmarkFigure(
            "memory of all processes together", max(peaks), 500, "MiB", f"{how}: site, report and export"
        )


def time_similarity() -> Iterator[BenchmarkFigure]:
    """Time the comparison of 800 submissions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_submissions(folder, load_manifest(ROOT))
        command = [sys.executable, "-m", "invoke", "similar", "--folder", name, "--to", str(folder / "similar.html")]
        taken, peak = run_and_measure(command, ROOT, copy_environment_without_nox())
        how = f"{STUDENTS} students, from one module to all of them"
        yield BenchmarkFigure("comparing submissions", taken, 60, "s", how)
        yield BenchmarkFigure("memory of all processes of inv similar", peak, 500, "MiB", how)


def write_gradebook(folder: Path, manifest: Manifest) -> tuple[list[RosterRow], int]:
    """Write a class's gradebook with published records and graded milestones. Return the students and result count."""
    rows = [RosterRow(f"s{n:03}", f"Student {n}", f"s{n}@example.org", section="ABCD"[n % 4]) for n in range(STUDENTS)]
    make_class_folder(folder)
    left, course = RESULTS, build_course_record(ROOT, manifest)
    with open_gradebook(folder / FILE, make=True) as book, tempfile.TemporaryDirectory() as records:
        book.set_enrolled_students(rows)
        for number, row in enumerate(rows):
            write_simulated_records(Path(records, row.id), manifest, random.Random(number), row.id)  # noqa: S311 - for play
            files = sorted(Path(records, row.id, progress.FOLDER).glob("*.json"))
            events = [progress.parse_event(file.read_bytes()) for file in files]
            modules = [(file, e) for file, e in zip(files, events, strict=True) if e.milestone is None]
            book.save_records(row.id, [_make_published_record(row, file.name, event) for file, event in modules])
            fair = -(-left * 5 // (STUDENTS - number) // 4)  # some students have fewer
            graded = [e for e in events if e.milestone is not None][:fair]
            for event in graded:
                _add_graded_submission(book, row, event, course, [m.id for m in manifest.milestones])
            left -= len(graded)
        for visit in book.read_visits().values():  # the last collection visited every student
            book.save_visit(dataclasses.replace(visit, at=START + timedelta(days=100)))
    return rows, RESULTS - left


def _make_published_record(row: RosterRow, name: str, event: Event) -> PublishedRecord:
    """Make the record that a workflow would have published for this event."""
    return PublishedRecord(row.id, f"progress/{name}", event.at, 1, progress.encode_event_file(event).decode(), None)


def _add_graded_submission(
    book: Gradebook, row: RosterRow, event: Event, course: CourseRecord, milestones: Sequence[int]
) -> None:
    """Add everything that a collection stores about one submission."""
    result = Result.model_validate(event.raw)
    assert result.milestone is not None
    commit = result.key[:40]
    about = result.submission.model_copy(update={"commit": commit})
    result = result.model_copy(update={"official": True, "submission": about, "course": course})
    book.save_pushes(row.id, [Push(MAIN, commit, event.at, "github")])
    before = {g.milestone: g.submission_digest for g in book.list_gradings(row.id)} | {result.milestone: about.digest}
    book.save_submissions(CommitSubmission(row.id, commit, course.digest, m, before.get(m)) for m in milestones)
    book.save_result(row.id, result)
    book.save_visit(Visit(row.id, event.at, MAIN, commit))


def _add_one_result(folder: Path, row: RosterRow) -> None:
    """Add one more result to one student."""
    with open_gradebook(folder / FILE) as book:
        result = book.load_result(book.list_gradings(row.id)[-1].id)
        book.save_result(row.id, result.model_copy(update={"seed": result.seed + 1}))


def _multiply_class(small: Path, large: Path, times: int) -> None:
    """Make ``times`` copies of the class, under different ids."""
    with open_gradebook(small / FILE) as book:
        tables = {
            table: [column for _, column, *_ in book.run_query(f"PRAGMA table_info({table})")]
            for table in ("student", "visit", "push", "handed_in", "grading", "record")
        }
    make_class_folder(large)
    with open_gradebook(large / FILE, make=True) as book, book.open_transaction_with_shard(small / FILE) as db:
        db.execute("INSERT OR IGNORE INTO course SELECT * FROM shard.course")
        for copy in range(times):
            for table, columns in tables.items():
                own = {"id", "student", "email", "file"} & set(columns)
                values = ", ".join(f"{c} || '-{copy}'" if c in own else c for c in columns)
                db.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM shard.{table}")  # noqa: S608


def write_submissions(folder: Path, manifest: Manifest) -> None:
    """Write the submissions of a class whose students have finished some or all modules, each in a different way."""
    make_class_folder(folder)
    one = folder / "one.git"
    modules = [module for module in manifest.modules if module.status is BuildStatus.BUILT]
    paths = [(file.path, file.module.number) for file in list_source_files(manifest, modules)]
    texts = {p: (ROOT / p).read_text("utf-8") for p, _ in paths}
    given = {p: make_skeleton(text, manifest, p) for p, text in texts.items()}
    own = {p: make_solution(text, manifest, p) for p, text in texts.items()}
    rows = [RosterRow(f"s{n:03}") for n in range(STUDENTS)]
    stream = []
    for number, row in enumerate(rows):
        rng = random.Random(number)  # noqa: S311 - for play
        stream.append(f"commit refs/heads/{row.id}\ncommitter s <s@example.org> 1790000000 +0000\ndata 0\n".encode())
        for path, module in paths:
            text = vary_source(own[path], rng) if module <= 1 + number % len(modules) else given[path]
            data = text.encode()
            stream.append(f"M 100644 inline {path.as_posix()}\ndata {len(data)}\n".encode() + data + b"\n")
    _run_git(["init", "--quiet", "--bare", str(one)])
    _run_git(["--git-dir", str(one), "fast-import", "--quiet"], b"".join(stream))
    commits = _run_git(["--git-dir", str(one), "for-each-ref", "--format=%(objectname)", "--sort=refname"]).split()
    (folder / "repositories").mkdir()
    with open_gradebook(folder / FILE, make=True) as book:
        book.set_enrolled_students(rows)
        for row, commit in zip(rows, commits, strict=True):
            (folder / "repositories" / f"{row.id}.git").symlink_to(one)
            book.save_visit(Visit(row.id, START, MAIN, commit.decode()))


def vary_source(text: str, rng: random.Random) -> str:
    """Vary a source file: insert random extra statements before about every third line."""
    lines = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        if line.lstrip().startswith(("return ", "self.", "if ")) and rng.random() < 0.7:
            lines.append(f"{indent}note = {' '.join(rng.choice(['+', '-', '~', 'not']) for _ in range(3))} (1, 2)")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _run_git(arguments: list[str], stdin: bytes = b"") -> bytes:
    """Run git, and return its output. Raise GraderError if it fails."""
    done = subprocess.run(["git", *arguments], input=stdin, capture_output=True, check=False)  # noqa: S607 - ours
    if done.returncode:
        raise GraderError(f"git {arguments[0]} failed: {done.stderr.decode()}")
    return done.stdout
