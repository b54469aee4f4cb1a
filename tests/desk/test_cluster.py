"""A class graded by a real Dask cluster of several processes: whatever dies there costs a retry and loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from desk.collect import CollectionSummary, collect_class
from desk.gradebook import FILE, open_gradebook
from desk.pushes import ReflogSource
from grading.errors import GraderError, UsageError
from grading.render.progress_watch import SilentWatch
from grading.render.record import encode_result
from grading.sandbox.launch import choose_fence
from tests.desk.books import make_graded_result
from tests.desk.school import BROKEN, RECIPE, ROOT, School

distributed = pytest.importorskip("distributed", reason="Dask is not installed: the group cluster of pyproject.toml")
pytestmark = [
    pytest.mark.skipif(choose_fence(official=False) == "process", reason="workers need a sandbox, and none works here"),
    pytest.mark.xdist_group("cluster"),
]

GRADER = """
import json, os, pathlib, signal, sys, time
here = pathlib.Path(__file__).parent
for line in sys.stdin:
    task = json.loads(line)
    student, marker = task["student"], here / f"{task['student']}.done"
    handed_in = pathlib.Path(task["folder"], "RECIPE").read_text()
    if student.startswith("dies") or (student.startswith("once") and not marker.exists()):
        marker.touch()
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit()
    while student.startswith("slow") and not (here / "go").exists():
        time.sleep(0.02)
    result = json.loads((here / "result.json").read_text())
    result["submission"] |= {"commit": task["commit"], "digest": task["commit"].ljust(64, "0")}
    result["student_output"] = handed_in
    print(json.dumps({"result": json.dumps(result)}), flush=True)
"""
"""A grading process that does what its task's name says: what is tested is who looks after it."""
WORKER = """
import pathlib, sys
from desk import cluster, pool
from distributed.cli.dask_worker import main
pool.HERE = pathlib.Path(sys.argv[1])
if sys.argv[2] != "same":
    cluster.find_refusal_reason = lambda digest: f"it has another course instead of {digest[:8]}"
main(sys.argv[3:])
"""


class Cluster:
    """A scheduler and its workers, each in its own process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.fake = folder / "fake" / "desk"
        self.desk = self.fake.parent  # where the package of the grading process is found
        self.fake.mkdir(parents=True)
        (self.fake / "__init__.py").touch()
        (self.fake / "grading_process.py").write_text(GRADER.replace("RECIPE", RECIPE))
        (self.fake / "result.json").write_text(encode_result(make_graded_result(1)))
        (folder / "worker.py").write_text(WORKER)

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """Start a scheduler that writes its address to a file."""
        self.file.unlink(missing_ok=True)
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file))
        process = self._start(ROOT, "-m", "distributed.cli.dask_scheduler", *options)
        for _ in range(1200):
            if self.file.is_file() and self.file.stat().st_size:
                return process
            time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    def start_worker(self, course: str = "same") -> subprocess.Popen[bytes]:
        """Start a worker with one thread, which exits together with its process."""
        options = ("--scheduler-file", str(self.file), "--nthreads", "1", "--no-nanny", "--no-dashboard")
        where = ("--host", "127.0.0.1", "--local-directory", str(self.folder), "--death-timeout", "60")
        return self._start(self.desk, str(self.folder / "worker.py"), str(self.desk), course, *options, *where)

    def wait_for_workers(self, count: int) -> None:
        """Wait until this many workers have registered with the scheduler."""
        with distributed.Client(scheduler_file=str(self.file)) as client:
            client.wait_for_workers(count, timeout=120)

    def _start(self, cwd: Path, *words: str) -> subprocess.Popen[bytes]:
        """Start a Python process with these arguments, and keep it so that it can be stopped."""
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen([sys.executable, *words], cwd=cwd, env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def end(self) -> None:
        """Stop everything that is still running."""
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Start a scheduler without any workers."""
    monkeypatch.setattr("desk.cluster.WORKERS_SECONDS", 120)
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    try:
        made.start_scheduler()
        yield made
    finally:
        made.end()


@pytest.fixture
def school(tmp_path: Path) -> School:
    """Create an empty school."""
    return School(tmp_path / "school")


class ActingWatch(SilentWatch):
    """A progress listener that performs an action when the first task is done."""

    def __init__(self, happens: Callable[[], None] = lambda: None) -> None:
        self.happens = happens

    def report_steps_done(self, steps_done: int, note: str = "") -> None:
        """Perform the action."""
        if steps_done == 1 and "milestone" in note:
            self.happens()


def collect_on_cluster(
    school: School, folder: Path, cluster: Cluster, watch: SilentWatch | None = None
) -> CollectionSummary:
    """Collect the school's class, and grade it on the cluster."""
    return collect_class(ROOT, folder, school.rows, ReflogSource(), watch or SilentWatch(), cluster=str(cluster.file))


def list_graded_students(folder: Path) -> list[str]:
    """List the students with a result in the gradebook."""
    with open_gradebook(folder / FILE) as book:
        return [grading.student for grading in book.list_gradings()]


def test_each_task_carries_its_files_and_a_worker_that_dies_costs_one_retry(
    school: School, class_folder: Path, cluster: Cluster
) -> None:
    """Four are graded from their files, one at the second try; a student whose task kills every worker is listed."""
    for number in range(5):
        student = ("ada", "bob", "cyd", "once", "dies")[number]
        school.enroll_student(student, {RECIPE: f"# {student}\n"})
    workers = [cluster.start_worker() for _ in range(4)]
    found = collect_on_cluster(school, class_folder, cluster)
    assert (found.graded, [trouble.student for trouble in found.troubles]) == (4, ["dies"])
    assert "died 2 times" in found.troubles[0].problem
    with open_gradebook(class_folder / FILE) as book:
        outputs = {grading.student: book.load_result(grading.id).student_output for grading in book.list_gradings()}
    assert outputs == {student: f"# {student}\n" for student in ("ada", "bob", "cyd", "once")}
    until = time.monotonic() + 30  # the last of them may still be dying
    while (killed := sum(worker.poll() == -signal.SIGKILL for worker in workers)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert killed in (2, 3)  # the death of a worker also counts against a task that waited behind the one that ran


def test_a_scheduler_that_ends_loses_nothing(school: School, class_folder: Path, cluster: Cluster) -> None:
    """Results that had arrived are kept, the message explains how to continue, and continuing grades only the rest."""
    for student in ("ada", "slow"):
        school.enroll_student(student, {RECIPE: f"# {student}\n"})
    cluster.start_worker()
    cluster.start_worker()
    with pytest.raises(GraderError, match=r"was lost.*1 of 2 results had arrived and are kept(?s:.)*same command"):
        collect_on_cluster(school, class_folder, cluster, ActingWatch(cluster.processes[0].kill))
    assert list_graded_students(class_folder) == ["ada"]
    (cluster.fake / "go").touch()
    cluster.start_scheduler()
    cluster.start_worker()
    assert collect_on_cluster(school, class_folder, cluster).graded == 1
    assert list_graded_students(class_folder) == ["ada", "slow"]


def test_a_worker_with_another_course_grades_nothing(school: School, class_folder: Path, cluster: Cluster) -> None:
    """Such a worker is dismissed and a different one grades; if there is none, the message explains what to correct."""
    school.enroll_student("ada", {RECIPE: "# ada\n"})
    cluster.start_worker(course="other")
    with pytest.raises(GraderError, match=r"refuses the task: it has another course(?s:.)*No other worker is left"):
        collect_on_cluster(school, class_folder, cluster)
    assert list_graded_students(class_folder) == []
    cluster.start_worker(course="other")
    cluster.start_worker()
    cluster.wait_for_workers(2)  # or the wrong one might be the only one when it refuses
    assert collect_on_cluster(school, class_folder, cluster).graded == 1


def test_a_cluster_s_grading_is_a_grading_like_any_other(
    school: School, class_folder: Path, cluster: Cluster, tmp_path: Path
) -> None:
    """The real grader gives the same result as on this machine, apart from seed, time and machine."""
    cluster.desk = ROOT
    cluster.start_worker()
    school.enroll_student("ada", BROKEN)
    assert collect_on_cluster(school, class_folder, cluster).graded == 1
    elsewhere = tmp_path / "elsewhere"
    collect_class(ROOT, elsewhere, school.rows, ReflogSource(), SilentWatch(), jobs=1)
    records = []
    for folder in (class_folder, elsewhere):
        with open_gradebook(folder / FILE) as book:
            record = json.loads(encode_result(book.load_result(book.list_gradings()[0].id)))
        records.append({name: record[name] for name in ("criteria", "submission", "course", "verdict", "official")})
    assert records[0] == records[1]


def test_where_no_scheduler_answers_nothing_is_lost(school: School, class_folder: Path) -> None:
    """The message contains the address, and what was fetched is kept."""
    school.enroll_student("ada", {RECIPE: "# ada\n"})
    with pytest.raises(GraderError, match=r"No Dask scheduler answers at nonsense://nowhere"):
        collect_class(ROOT, class_folder, school.rows, ReflogSource(), SilentWatch(), cluster="nonsense://nowhere")
    with open_gradebook(class_folder / FILE) as book:
        assert len(book.list_submissions()) > 0


def test_without_dask_the_command_says_what_to_install(
    school: School, class_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command stops before anything is touched."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match="--group cluster"):
        collect_class(ROOT, class_folder, school.rows, ReflogSource(), SilentWatch(), cluster="tcp://x:1")
    assert list(class_folder.iterdir()) == []
