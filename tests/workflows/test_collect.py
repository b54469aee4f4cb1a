"""A class that many machines collect: every step of collect.yml, twice, in an instructor's copy of the course."""

from __future__ import annotations

import io
import shutil
import sqlite3
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from desk.gradebook import FILE
from desk.rehearsal import SERVER, rehearse
from desk.roster import FILE as ROSTER
from grading.sandbox.launch import choose
from tests.github import activity, artifacts  # noqa: F401 - `activity` declares a route
from tests.github.conversation import add_run
from tests.github.local import Hub
from tests.workflows import syntax
from tests.workflows.gate import guarded
from tests.workflows.machine import environment, has_nox
from tests.workflows.runner import set_off
from tests.workflows.world import Event, Repository, Run, World

pytestmark = [
    pytest.mark.xdist_group("collect"),
    pytest.mark.skipif(choose(official=False) != "bubblewrap", reason="official grading needs bubblewrap"),
    pytest.mark.skipif(not has_nox(), reason="nox is not installed here"),
]
COURSE = "class/course"
STUDENTS = 11
"""One more than a job of the matrix takes."""
LEFT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "class", "tests", "node_modules")
HELD = """
    SELECT student.id, count(grading.student) FROM student LEFT JOIN grading ON grading.student = student.id
    GROUP BY student.id ORDER BY student.id
"""


@dataclass(frozen=True)
class Collected:
    """Two runs of the workflow, and the gradebook that each handed over."""

    runs: tuple[Run, Run]
    books: tuple[Path, Path]


def copied(root: Path, target: Path, folder: Path) -> Path:
    """The course with the roster of a class, whose repositories are copies of one that has not finished module 02."""
    shutil.copytree(root, target, ignore=LEFT)
    shutil.copytree(root / ".github", target / ".github")
    rehearse(root, folder)
    lines = ["id,repository"]
    for number in range(STUDENTS):
        place = shutil.copytree(folder / SERVER / "ben.git", folder / f"s{number}.git")
        lines.append(f"s{number},{place}")
    (target / "class").mkdir()
    (target / "class" / ROSTER).write_text("".join(f"{line}\n" for line in lines))
    return target


@pytest.fixture(scope="session")
def collected(running: Hub, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Collected:
    """What becomes of the class when nothing is known, and again when nothing has changed."""
    folder = tmp_path_factory.mktemp("collect")
    tree = copied(root, folder / "course", folder / "students")
    running.clear()
    hub, owner = running.repository(COURSE), running.example("workflow-run")["head_repository"] | {"full_name": COURSE}
    environ, _ = environment(folder)
    (folder / "nox").mkdir()

    def uploaded(repository: str, run: int, name: str, archive: bytes) -> None:
        artifacts.add_artifact(running, running.repository(repository), run, name, archive)

    world = World({COURSE: Repository(private=True)}, environ, folder / "nox", "", uploaded)
    world.secrets["CLASS_TOKEN"] = "of-the-class"  # noqa: S105 - of nobody
    sha = world.repositories[COURSE].commit(tree, "main")
    runs, books = [], []
    with guarded(running.public_url, "actions", world.tokens) as gate:
        world.api_url = gate.url
        for number in (1, 2):
            event = Event("workflow_dispatch", COURSE, sha, "refs/heads/main", {}, number)
            (run,) = [r for n, r in set_off(world, event, folder / f"run-{number}").items() if n == "collect.yml"]
            where = {"path": ".github/workflows/collect.yml", "status": "completed", "event": "workflow_dispatch"}
            add_run(running, hub, number, branch="main", sha=sha, head_repository=owner, **where)
            runs.append(run)
            books.append(folder / f"{number}-{FILE}")
            books[-1].write_bytes(content(run, "gradebook"))
    return Collected((runs[0], runs[1]), (books[0], books[1]))


def content(run: Run, artifact: str) -> bytes:
    """The gradebook in an artifact of a run."""
    assert artifact in run.artifacts, run.log()
    with zipfile.ZipFile(io.BytesIO(run.artifacts[artifact])) as zipped:
        return zipped.read(FILE)


def held(book: Path) -> dict[str, int]:
    """How many results a gradebook holds of each student."""
    with sqlite3.connect(book) as db:
        return dict(db.execute(HELD))


def test_every_student_is_graded_by_one_of_two_machines(collected: Collected):
    """Each has one result in the merged gradebook: none is lost, none is there twice."""
    run = collected.runs[0]
    assert run.results() == {
        "collect.yml:fetch": "success",
        "collect.yml:grade": "success",
        "collect.yml:merge": "success",
    }
    assert {"shard-1", "shard-2"} <= set(run.artifacts)
    assert held(collected.books[0]) == {f"s{number}": 1 for number in range(STUDENTS)}


def test_the_next_run_goes_on_with_the_last_one_s_gradebook(collected: Collected):
    """Nothing is graded again: the results are those of the first run, to the letter."""
    run = collected.runs[1]
    assert run.results()["collect.yml:merge"] == "success", run.log()
    assert any("Begun with run 1." in step.output for step in run.steps)
    assert "shard-2" not in run.artifacts
    results = []
    for book in collected.books:
        with sqlite3.connect(book) as db:
            results.append(sorted(db.execute("SELECT * FROM grading")))
    assert results[0] == results[1]
    assert len(results[0]) == STUDENTS


def test_every_command_of_the_workflow_was_run(collected: Collected, root: Path):
    """None is left that nobody has tried; each ended with 0."""
    ran = {(step.job, step.command) for run in collected.runs for step in run.steps if step.command is not None}
    workflow = syntax.folder(root)["collect.yml"]
    assert ran == {(job, step["run"]) for job, _, step in syntax.steps(workflow) if "run" in step}
    assert {step.code for run in collected.runs for step in run.steps} == {0}


def test_the_token_of_the_class_is_where_no_student_code_runs(collected: Collected):
    """One step has it; the jobs that grade hold no token at all."""
    steps = [step for run in collected.runs for step in run.steps]
    assert {s.name for s in steps if "of-the-class" in s.environ.values()} == {"Fetch the class"}
    assert not [s for s in steps if s.job == "grade" and any("ghs_" in value for value in s.environ.values())]
