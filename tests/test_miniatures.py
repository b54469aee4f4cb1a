"""Miniature submissions, graded by the command everyone is graded by: right ones pass, wrong and hostile ones do not.

Each must come out as its about.yaml says; none may end the grader, leave anything behind, or take for ever. What needs
a data set is trained on the stand-in: at a home without data, and with no way to the network. A wrong version of a
single module is graded in this process instead, because one such grading takes a quarter of the command's time.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from grading import progress
from grading.grade import GradingSetup, grade_module, prepare_grading
from grading.manifest.loader import load_manifest
from grading.render import record
from grading.render.junit import render_junit
from grading.render.markdown import MAX_REPORT_CHARACTERS, render_markdown
from grading.render.terminal_report import print_result_report
from grading.result import CriterionResult, CriterionStatus, Result, Verdict
from grading.sandbox import launch
from grading.testing import plugin
from tests.submissions.build import ALL_HOSTILE, Miniature, build_submission, choose_hostile_miniatures, list_miniatures
from tests.submissions.partial import make_task_filter
from tests.submissions.run import GraderServer, build_grading_command, build_offline_environment
from tests.submissions.threats import SUBMITTED

GITHUB_FILES = ("OUTPUT", "ENV", "PATH", "STATE", "STEP_SUMMARY")
OWN_HTML = re.compile(r"</?(details|summary|sub|br)>")
MOST_MEMORY = 300
"""MiB that the grader may take, whatever is handed in."""
SECONDS = {1: 90, 2: 300, 3: 600, 4: 600, 5: 600}
"""No submission may keep the grader of a milestone longer than this, on a loaded machine."""
REPETITIONS = {"seeds": 2, "demo_runs": 1, "curve_points": 3}
"""How often the same is measured. `nox -s hostile` measures as often as for students."""
IN_FULL = bool(os.environ.get(ALL_HOSTILE))


@pytest.fixture(scope="session")
def server(root: Path) -> Iterator[GraderServer]:
    """Start the process of which each ordinary grading is a fork."""
    started = GraderServer(root)
    yield started
    started.close()


@pytest.fixture
def graded(root: Path, tmp_path: Path, server: GraderServer):
    """Return `graded(miniature)`, which grades it in a separate process, like `nox -s milestone-1 -- --submission`.

    The process is a fork of one that has imported the grader. A new one is started for a miniature that could change
    how Python starts, and for all in `nox -s hostile`.
    """

    def grade(miniature: Miniature, *extra: str) -> Result:
        """Build the submission, grade it offline, check what it prints and leaves, and return the result."""
        about, tree, target = miniature.about, lay_out_submission(miniature, root, tmp_path), tmp_path / "result.json"
        before = list_file_states(tree)
        outputs = {f"GITHUB_{name}": str(tmp_path / "github" / name) for name in GITHUB_FILES}
        environment = (
            build_offline_environment(tmp_path) | outputs | {"PYTHONPATH": str(root), "TMPDIR": str(tmp_path / "tmp")}
        )
        report, xml = tmp_path / "report.md", tmp_path / "report.xml"
        written = ("--json", str(target), "--markdown", str(report), "--junit", str(xml))
        allowed = SECONDS[about.get("milestone", 1)]
        started = time.monotonic()
        command = [*build_grading_command(about, tmp_path / "peak"), *extra, "--submission", str(tree), *written]
        environment = os.environ | environment | {"GITHUB_TOKEN": "a-token"} | about.get("environment", {})
        if IN_FULL or "inside" in about or "environment" in about:
            done = subprocess.run(
                command,
                cwd=tree if about.get("inside") else tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=allowed,
                check=False,
            )
        else:
            done = server.run(command, cwd=tmp_path, environment=environment, folder=tmp_path, timeout=allowed)
        assert time.monotonic() - started < allowed
        assert target.is_file(), f"the grader wrote no result:\n{done.stdout}\n{done.stderr}"
        assert target.stat().st_size < progress.LARGEST
        result = record.decode_result(target.read_text())
        assert done.returncode == result.verdict.exit_code
        assert "Traceback" not in done.stderr
        if sys.platform == "linux":
            assert float((tmp_path / "peak").read_text()) < MOST_MEMORY
        assert not any(c.status is CriterionStatus.ERROR for c in result.criteria), done.stdout
        surfaces = [done.stdout, done.stderr, report.read_text(), xml.read_text()]
        check_surfaces(result, surfaces)
        check_words(about["expect"], surfaces)
        check_traces(tmp_path, before)
        forbidden = about["expect"].get("never", [])
        if result.machine.sandbox != "process":
            forbidden = [*forbidden, *about.get("confined", {}).get("never", [])]
            for path in about.get("confined", {}).get("absent", []):
                assert not Path(path).expanduser().exists(), f"{path} was written"
        for words in forbidden:
            assert not any(words in surface for surface in (*surfaces, target.read_text()))
        return result

    return grade


@pytest.fixture(scope="session")
def course(root: Path) -> GradingSetup:
    """Read what all gradings in this process share: the manifest, the fence and the digest of the course."""
    return prepare_grading(root, load_manifest(root))


@pytest.fixture
def graded_here(root: Path, tmp_path: Path, course: GradingSetup, monkeypatch: pytest.MonkeyPatch):
    """Return `graded_here(miniature)`, which grades one module in this process, up to the first test that fails."""

    def grade(miniature: Miniature) -> Result:
        """Build the submission, grade it, check all renderings and what it leaves, and return the decoded record."""
        tree = lay_out_submission(miniature, root, tmp_path)
        before = list_file_states(tree)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
        tasks = miniature.about.get("tasks") or list_tasks_of_changed_recipe(miniature, root)
        if tasks and not IN_FULL:
            monkeypatch.setattr(plugin, "pytest_collection_modifyitems", make_task_filter(tasks))
        result = grade_module(
            root,
            miniature.about["module"],
            submission=tree,
            seed=20,
            prepared=course,
            is_enough=lambda outcome: outcome.failure is not None and not IN_FULL,
        )
        console = Console(file=io.StringIO())
        print_result_report(console, result)
        check_surfaces(result, [console.file.getvalue(), "", render_markdown(result), render_junit(result)])
        check_traces(tmp_path, before)
        return record.decode_result(record.encode_result(result))

    return grade


def list_tasks_of_changed_recipe(miniature: Miniature, root: Path) -> set[str]:
    """Return the tasks of the recipe if it is all that the miniature changes: the other tasks' tests do not load it."""
    recipe = f"modules/{miniature.about['module']}/recipe.py"
    if {edit["file"] for edit in miniature.about.get("edits", ())} != {recipe} or (miniature.folder / "files").exists():
        return set()
    return set(re.findall(r"# BEGIN SOLUTION (\S+)", (root / recipe).read_text()))


def lay_out_submission(miniature: Miniature, root: Path, folder: Path) -> Path:
    """Build a miniature's tree in a folder, next to the folders that its grading must leave empty."""
    for name in ("tmp", "github", "home"):
        (folder / name).mkdir()
    return build_submission(miniature, root, load_manifest(root), folder / "tree")


def check_surfaces(result: Result, surfaces: list[str]) -> None:
    """Assert that no rendering claims a false success, contains an escape or command, or shows anything live."""
    out, _, report, xml = surfaces
    for surface in surfaces:
        assert "\x1b[2J" not in surface
        assert not any(line.startswith(("::", "##[")) for line in surface.splitlines())
        if result.verdict.exit_code:
            assert not find_lines_beginning_with(surface, "UNLOCKED")
    if result.verdict is Verdict.PROVISIONAL:
        assert all("digits was used instead of mnist" in surface for surface in (out, report))
    assert len(report) <= MAX_REPORT_CHARACTERS
    assert not find_live_markup(report)
    suite = ET.fromstring(xml).find("testsuite")  # noqa: S314 - it is the grader's own, and must be XML
    assert suite.get("failures") == str(len(list_failed_criteria(result)))


def check_words(expect: dict[str, Any], surfaces: list[str]) -> None:
    """Assert that some words are on no surface, and that others are at most quoted and begin no line."""
    for surface in surfaces:
        for words in expect.get("on_no_surface", []):
            assert words not in surface
        for words in expect.get("begins_no_line", []):
            assert not find_lines_beginning_with(surface, words)


def find_lines_beginning_with(surface: str, words: str) -> list[str]:
    """List the lines that begin with these words as the report's own lines do: indented or in a panel, not quoted."""
    bare = (line[2:] if line.startswith("│ ") and line.endswith("│") else line for line in surface.splitlines())
    return [line for line in bare if line.strip().startswith(words)]


def find_live_markup(report: str) -> list[str]:
    """List what of a report is more than text: links, images, foreign HTML, mentions and references."""
    found: list[str] = []
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(report):
        for part in (token, *(token.children or ())):
            if part.type in ("link_open", "image"):
                found.append(part.type)
            elif part.type in ("html_inline", "html_block"):
                found += [tag for tag in re.findall(r"<[^>]*>?", part.content) if not OWN_HTML.fullmatch(tag)]
            elif part.type == "text":
                found += re.findall(r"(?<![\w\N{ZERO WIDTH SPACE}])[@#]\w+|\bhttps?://", part.content)
    return found


def list_file_states(tree: Path) -> list[tuple[Path, int, int]]:
    """List when each file and folder of a tree was last changed, and its size."""
    return [(path, path.lstat().st_mtime_ns, path.lstat().st_size) for path in sorted(tree.rglob("*"))]


def check_traces(folder: Path, before: list[tuple[Path, int, int]]) -> None:
    """Assert that the tree is unchanged, and no temporary file, line in a workflow's files or process is left."""
    assert list_file_states(folder / "tree") == before, "the submission's tree was changed"
    assert list((folder / "tmp").iterdir()) == [], "something was left in the temporary folder"
    assert list((folder / "github").iterdir()) == [], "a workflow's output was written"
    if sys.platform == "linux":
        running = [path / "cmdline" for path in Path("/proc").iterdir() if path.name.isdigit()]
        assert not [path for path in running if str(folder).encode() in _read_content(path)], "a process was left"


def _read_content(path: Path) -> bytes:
    """Return a file's bytes, or none if its process has ended."""
    with contextlib.suppress(OSError):  # it has ended
        return path.read_bytes()
    return b""


def list_failed_criteria(result: Result) -> list[CriterionResult]:
    """List the criteria that were not met."""
    return [c for c in result.criteria if c.status is CriterionStatus.FAILED]


def describe_first_failure(result: Result) -> str:
    """Return all texts of the failure to fix first, as one text."""
    failure = result.first_failure
    assert failure is not None, "a failure must say what to fix"
    return " ".join(str(v) for v in failure.model_dump().values() if v is not None)


def name_miniature(miniature: Miniature) -> str:
    """Return the name of a miniature, which identifies its test case."""
    return miniature.name


def take_shortcuts(miniature: Miniature) -> Miniature:
    """Return the miniature with fewer repetitions and what its page says of `daily`; unchanged in `nox -s hostile`.

    Every repetition is one more chance to fail, so with fewer of them nothing is refused that would be accepted.
    """
    about = miniature.about
    return replace(miniature, about=about if IN_FULL else {"experiment": REPETITIONS} | about | about.get("daily", {}))


@pytest.mark.parametrize("miniature", list_miniatures("right"), ids=name_miniature)
def test_right_by_another_way_is_unlocked(graded, miniature):
    """Other algorithms and other internals pass: the tests ask for behaviour."""
    miniature = take_shortcuts(miniature)
    result = graded(miniature)
    assert result.verdict == miniature.about["expect"]["verdict"], describe_first_failure(result)
    assert result.verdict.exit_code == 0


@pytest.mark.parametrize("miniature", list_miniatures("right_modules"), ids=name_miniature)
def test_another_implementation_of_a_module_passes(graded_here, miniature):
    """Every test of the module accepts it, whatever it looks like inside."""
    result = graded_here(miniature)
    assert result.verdict is Verdict.UNLOCKED, describe_first_failure(result)


@pytest.mark.parametrize("miniature", list_miniatures("wrong"), ids=name_miniature)
def test_a_small_mistake_fails_in_its_own_task_with_words_that_help(graded, graded_here, miniature):
    """The first thing to fix names the task, what came back and what was expected."""
    result = (graded_here if "module" in miniature.about else graded)(take_shortcuts(miniature))
    check_expectation(miniature, result)
    failure = result.first_failure
    assert failure.got
    assert failure.hint


@pytest.mark.parametrize("miniature", choose_hostile_miniatures(), ids=name_miniature)
def test_what_was_not_earned_is_not_given(graded, miniature):
    """Accidents and attacks get nothing, and the grader goes on. `nox -s hostile` grades all of them."""
    result = graded(take_shortcuts(miniature))
    check_expectation(miniature, result)


def test_every_hostile_submission_can_be_built(root: Path, tmp_path: Path) -> None:
    """Their edits fit the solution, even of those that only `nox -s hostile` grades."""
    miniatures, manifest = list_miniatures("hostile"), load_manifest(root)
    for number, miniature in enumerate(miniatures):
        build_submission(miniature, root, manifest, tmp_path / str(number))
    assert len(miniatures) > len(SUBMITTED)


BEHIND_LANDLOCK = (
    "becomes_another_program",
    "disk_flood",
    "fork_bomb",
    "killed_by_its_own_signal",
    "reads_proc_and_parents",
    "rewrites_what_is_graded",
    "threads_without_end",
    "writes_outside",
)
"""Those that a fence has to stop. All of them: `TINYTORCH_FENCE=landlock pytest tests/test_miniatures.py`."""


@pytest.mark.parametrize(
    "miniature", [m for m in list_miniatures("hostile") if m.folder.name in BEHIND_LANDLOCK], ids=name_miniature
)
def test_behind_landlock_it_is_not_given_either(graded, miniature, monkeypatch):
    """The other fence is tried even if bubblewrap works."""
    monkeypatch.setenv(launch.VARIABLE, "landlock")
    if launch.find_landlock_problem() is not None:
        pytest.skip("no Landlock here")
    result = graded(miniature)
    check_expectation(miniature, result)
    assert result.machine.sandbox == "landlock"


def check_expectation(miniature: Miniature, result: Result) -> None:
    """Assert that a result has the verdict, criterion, task and words that the miniature's page states."""
    expect = miniature.about["expect"]
    if result.machine.sandbox != "process":
        expect = expect | miniature.about.get("confined", {})
    assert result.verdict == expect.get("verdict", result.verdict)
    if "criterion" in expect:
        assert expect["criterion"] == list_failed_criteria(result)[0].name, describe_first_failure(result)
    if "fails" in expect:
        assert expect["fails"] in [c.name for c in list_failed_criteria(result)]
    if "task" in expect:
        assert result.first_failure.task == expect["task"], describe_first_failure(result)
    for words in expect.get("says", []):
        assert words in describe_first_failure(result)
    performance = [c for c in result.criteria if c.kind == "performance"]
    if any(c.kind == "code_quality" for c in list_failed_criteria(result)):
        assert all(c.status is CriterionStatus.NOT_ATTEMPTED for c in performance)
        assert all(c.measured is None for c in performance)


def test_every_line_of_the_threats_has_two_submissions():
    """Each hostile miniature says which line it stands for, and each line has at least two."""
    counted = Counter(m.about["threat"] for m in list_miniatures("hostile"))
    assert set(counted) == set(SUBMITTED)
    assert not {line: count for line, count in counted.items() if count < 2}
    assert counted.total() >= 60
