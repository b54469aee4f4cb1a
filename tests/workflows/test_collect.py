"""A class that many machines collect, and its site: every step of both workflows, in an instructor's own course."""

from __future__ import annotations

import io
import shutil
import sqlite3
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from desk.gradebook import FILE
from desk.pseudonyms import assign_pseudonyms
from desk.rehearsal import SERVER, write_rehearsal_class
from desk.roster import FILE as ROSTER
from grading.sandbox.launch import choose_fence
from tests.github import activity, artifacts  # noqa: F401 - `activity` declares a route
from tests.github.conversation import add_run
from tests.github.local import Hub
from tests.workflows import syntax
from tests.workflows.gate import open_gate
from tests.workflows.machine import build_runner_environment, has_nox
from tests.workflows.runner import run_triggered_workflows
from tests.workflows.world import Event, Repository, Run, World

pytestmark = [
    pytest.mark.xdist_group("collect"),
    pytest.mark.skipif(choose_fence(official=False) == "process", reason="official grading needs a sandbox"),
    pytest.mark.skipif(not has_nox(), reason="nox is not installed here"),
]
COURSE = "class/course"
KEY = "0f" * 32
STUDENTS = 11
"""One more than a job of the matrix takes."""
LEFT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "class", "tests", "node_modules")
HELD = """
    SELECT student.id, count(grading.student) FROM student LEFT JOIN grading ON grading.student = student.id
    GROUP BY student.id ORDER BY student.id
"""


@dataclass(frozen=True)
class Collected:
    """Two collections with the gradebook that each uploaded, and the site built from them."""

    runs: tuple[Run, Run]
    books: tuple[Path, Path]
    keyless: Run
    """Of the site, when the secret is not set."""
    site: Run


def copy_course_with_roster(root: Path, target: Path, folder: Path) -> Path:
    """Copy the course with a class's roster, whose repositories are copies of one with module 02 unfinished."""
    shutil.copytree(root, target, ignore=LEFT)
    shutil.copytree(root / ".github", target / ".github")
    write_rehearsal_class(root, folder)
    lines = ["id,repository"]
    for number in range(STUDENTS):
        place = shutil.copytree(folder / SERVER / "ben.git", folder / f"s{number}.git")
        lines.append(f"s{number},{place}")
    (target / "class").mkdir()
    (target / "class" / ROSTER).write_text("".join(f"{line}\n" for line in lines))
    return target


@pytest.fixture(scope="session")
def collected(running: Hub, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Collected:
    """Collect the class when nothing is known, and again when nothing has changed."""
    folder = tmp_path_factory.mktemp("collect")
    tree = copy_course_with_roster(root, folder / "course", folder / "students")
    running.clear()
    hub, owner = running.repository(COURSE), running.example("workflow-run")["head_repository"] | {"full_name": COURSE}
    environ, _ = build_runner_environment(folder)
    (folder / "nox").mkdir()

    def uploaded(repository: str, run: int, name: str, archive: bytes) -> None:
        artifacts.add_artifact(running, running.repository(repository), run, name, archive)

    world = World({COURSE: Repository(private=True)}, environ, folder / "nox", "", uploaded)
    world.secrets["CLASS_TOKEN"] = "of-the-class"  # noqa: S105 - of nobody
    sha = world.repositories[COURSE].commit(tree, "main")
    runs, books = [], []
    with open_gate(running.public_url, "actions", world.tokens) as gate:
        world.api_url = gate.url

        def started(number: int, file: str) -> Run:
            """Start a workflow by hand, run it, and return its run."""
            payload = {"workflow": f".github/workflows/{file}"}
            event = Event("workflow_dispatch", COURSE, sha, "refs/heads/main", payload, number)
            (run,) = run_triggered_workflows(world, event, folder / f"run-{number}").values()
            return run

        for number in (1, 2):
            run = started(number, "collect.yml")
            where = {"path": ".github/workflows/collect.yml", "status": "completed", "event": "workflow_dispatch"}
            add_run(running, hub, number, branch="main", sha=sha, head_repository=owner, **where)
            runs.append(run)
            books.append(folder / f"{number}-{FILE}")
            books[-1].write_bytes(read_artifact(run, "gradebook"))
        world.secrets["PSEUDONYM_KEY"] = ""
        keyless = started(3, "site.yml")
        world.secrets["PSEUDONYM_KEY"] = KEY + "\n"
        site = started(4, "site.yml")
    return Collected((runs[0], runs[1]), (books[0], books[1]), keyless, site)


def read_artifact(run: Run, artifact: str) -> bytes:
    """Read the gradebook in a run's artifact."""
    assert artifact in run.artifacts, run.join_log()
    with zipfile.ZipFile(io.BytesIO(run.artifacts[artifact])) as zipped:
        return zipped.read(FILE)


def count_results(book: Path) -> dict[str, int]:
    """Count the results of each student in a gradebook."""
    with sqlite3.connect(book) as db:
        return dict(db.execute(HELD))


def test_every_student_is_graded_by_one_of_two_machines(collected: Collected):
    """Each student has one result in the merged gradebook: none is lost, and none is duplicated."""
    run = collected.runs[0]
    assert run.map_job_results() == {
        "collect.yml:fetch": "success",
        "collect.yml:grade": "success",
        "collect.yml:merge": "success",
    }
    assert {"shard-1", "shard-2"} <= set(run.artifacts)
    assert count_results(collected.books[0]) == {f"s{number}": 1 for number in range(STUDENTS)}


def test_the_next_run_goes_on_with_the_last_one_s_gradebook(collected: Collected):
    """Nothing is graded again: the results are exactly those of the first run."""
    run = collected.runs[1]
    assert run.map_job_results()["collect.yml:merge"] == "success", run.join_log()
    assert any("Started with the gradebook of run 1." in step.output for step in run.steps)
    assert "shard-2" not in run.artifacts
    results = []
    for book in collected.books:
        with sqlite3.connect(book) as db:
            results.append(sorted(db.execute("SELECT * FROM grading")))
    assert results[0] == results[1]
    assert len(results[0]) == STUDENTS


def test_the_site_shows_the_last_collection(collected: Collected):
    """Each student has a page under the secret key's pseudonym, the course has its pages, and the site is deployed."""
    assert collected.site.map_job_results() == {"site.yml:build": "success", "site.yml:deploy": "success"}, (
        collected.site.join_log()
    )
    with zipfile.ZipFile(io.BytesIO(collected.site.artifacts["github-pages"])) as zipped:
        names = set(zipped.namelist())
    wanted = assign_pseudonyms([f"s{number}" for number in range(STUDENTS)], bytes.fromhex(KEY))
    assert {name.split("/")[1] for name in names if name.startswith("student/")} == set(wanted.values())
    assert {"index.html", "class/index.html", "course/02_tensor.html"} <= names


def test_without_the_secret_no_site_is_written(collected: Collected):
    """A key made up by the run would rename everybody; the message explains how to set your own."""
    assert collected.keyless.map_job_results() == {"site.yml:build": "failure", "site.yml:deploy": "skipped"}
    assert collected.keyless.artifacts == {}
    assert "gh secret set PSEUDONYM_KEY < class/pseudonyms.key" in collected.keyless.join_log()


def test_every_command_of_both_workflows_was_run(collected: Collected, root: Path):
    """No command is left untested, and each exited with 0."""
    runs = (*collected.runs, collected.site)
    ran = {(run.workflow, s.job, s.command) for run in runs for s in run.steps if s.command is not None}
    files = {name: syntax.read_workflows(root)[name] for name in ("collect.yml", "site.yml")}
    written = {(n, job, s["run"]) for n, file in files.items() for job, _, s in syntax.list_steps(file) if "run" in s}
    assert ran == written
    assert {step.code for run in runs for step in run.steps} == {0}


def test_the_token_of_the_class_is_where_no_student_code_runs(collected: Collected):
    """Only one step has it; the jobs that grade hold no token at all."""
    steps = [step for run in collected.runs for step in run.steps]
    assert {s.name for s in steps if "of-the-class" in s.environ.values()} == {"Fetch the class"}
    assert not [s for s in steps if s.job == "grade" and any("ghs_" in value for value in s.environ.values())]
