"""Hostile submissions as pull requests: how the steps of the workflows handle them, up to the comment.

`nox -s hostile -- -n 2` hands in all of them but most of milestones 4 and 5; the ordinary tests two that differ most.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from grading import lock
from grading.manifest.loader import load_manifest
from grading.result import CriterionStatus, Result
from grading.sandbox.launch import choose_fence
from tests.github.conftest import running  # noqa: F401 - the fixture
from tests.github.local import Hub
from tests.submissions.build import ALL_HOSTILE, Miniature, build_submission, list_miniatures, read_starting_files
from tests.test_miniatures import find_live_markup
from tests.workflows.machine import has_nox
from tests.workflows.school import open_school
from tests.workflows.story import Chapter, record_chapter

pytestmark = [
    pytest.mark.xdist_group("workflows"),
    pytest.mark.skipif(choose_fence(official=False) == "process", reason="the workflows grade in a sandbox alone"),
    pytest.mark.skipif(not has_nox(), reason="nox is not installed here"),
]
TWO = ("markdown_in_an_exception", "exit_with_success_past_the_audit")
OF_MILESTONES_4_AND_5 = ("m4_slow_baseline", "m4_floats_beside_int8", "m5_tokens_that_lie")
"""Each takes minutes; the others of those milestones differ in what is measured, not in their way to GitHub."""
OF_THE_COMMAND = {"student", "environment", "seed"}
"""What the miniature's own command line says and a workflow does not: then the verdict may be another one."""
OURS = re.compile(r"\[([^\]]*)\]\(https://github\.com/class/[\w./-]*\)|<!--[^>]*-->")
"""Links to the run and the commit, and the two lines by which a report is known."""


def get_session(miniature: Miniature) -> str:
    """Return the nox session that grades a miniature."""
    about = miniature.about
    return f"module-{about['module']}" if "module" in about else f"milestone-{about.get('milestone', 1)}"


def is_possible(miniature: Miniature) -> bool:
    """Return whether a miniature can be a pull request, which needs a tree without pipes or edited workflows."""
    if miniature.about.get("milestone") in (4, 5) and miniature.folder.name not in OF_MILESTONES_4_AND_5:
        return False
    edits = miniature.about.get("edits", [])
    return not any("fifo" in edit or edit["file"].startswith(".github/") for edit in edits)


def choose_miniatures() -> list[Miniature]:
    """Choose all hostile miniatures that can be pull requests, or only two of them."""
    found = [m for m in list_miniatures("hostile") if is_possible(m)]
    return found if os.environ.get(ALL_HOSTILE) else [m for m in found if m.folder.name in TWO]


@pytest.fixture(scope="session")
def releases(root: Path, released: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build what students begin with, and a solved release, so that only what changed is graded."""
    tree = Path(shutil.copytree(released, tmp_path_factory.mktemp("given") / "tree"))
    for path, text in read_starting_files("solution", root).items():
        (tree / path).write_text(text, "utf-8")
    locked = json.loads((tree / lock.FILE).read_text())
    locked["student"] |= {name: lock.digest_file_below(tree, name) for name in locked["student"]}
    (tree / lock.FILE).write_text(json.dumps(locked))
    return {"skeleton": released, "solution": tree}


def build_student_tree(miniature: Miniature, root: Path, given: Path, tree: Path) -> Path:
    """Write the release with the miniature laid over it, and a mark if nothing else marks it; return the folder."""
    laid = build_submission(miniature, root, load_manifest(root), tree.with_name("laid"))
    shutil.copytree(given, tree, symlinks=True)
    for path in sorted(laid.rglob("*")):
        target = tree / path.relative_to(laid)
        if path.is_symlink() or path.is_file():
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
    for path in read_starting_files("solution", root):
        if not (laid / path).exists() and not (laid / path).is_symlink():
            (tree / path).unlink(missing_ok=True)  # an edit has deleted it, or a folder above it
    manifest, name = load_manifest(root), get_session(miniature)
    module = name.removeprefix("module-")
    mark = manifest.module(module).code if module != name else manifest.milestone(int(name[-1])).recipe
    if lock.digest_file_below(tree, mark.as_posix()) == lock.digest_file_below(given, mark.as_posix()):
        (tree / mark).write_text((tree / mark).read_text("utf-8") + "\n# my own\n", "utf-8")
    return tree


@pytest.mark.parametrize("miniature", choose_miniatures(), ids=lambda m: m.name)
def test_what_was_not_earned_is_not_given_on_github(
    miniature: Miniature,
    running: Hub,  # noqa: F811
    root: Path,
    releases: dict[str, Path],
    environments: Path,
    tmp_path: Path,
):
    """It is graded, reported in one comment in which nothing is live, and leaves only its record."""
    given = releases[miniature.about["from"]]
    tree = build_student_tree(miniature, root, given, tmp_path / "tree")
    with open_school(running, given, environments, tmp_path) as school:
        found = record_chapter(school, school.trigger_event("pull_request", tree)["autograde.yml"])
    found.check(plan="success", grade="success", report="success", publish="skipped", attest="skipped")
    result = found.results[get_session(miniature)]
    check_result(miniature, result)
    (comment,) = found.comments
    (checked,) = found.check_runs
    assert not find_live_markup(OURS.sub(r"\1", comment["body"]))
    assert not any(line.startswith(("::", "##[")) for line in comment["body"].splitlines())
    assert checked["conclusion"] == ("success" if result.verdict.exit_code == 0 else "failure")
    check_traces(found, tmp_path)


def check_result(miniature: Miniature, result: Result) -> None:
    """Check that the verdict is that of the command at a desk, and no error of the grader's."""
    assert result.machine.sandbox == choose_fence(official=True)
    assert not [c for c in result.criteria if c.status is CriterionStatus.ERROR]
    if not OF_THE_COMMAND & set(miniature.about):
        expect = miniature.about["expect"] | miniature.about.get("confined", {})
        assert result.verdict == expect["verdict"]


def check_traces(found: Chapter, folder: Path) -> None:
    """Check that no request was refused, nothing printed contains a token, and the run created only its own files."""
    assert found.refused == []
    grading = [step for step in found.run.steps if step.job == "grade" and step.command is not None]
    assert grading
    assert not any("ghs_" in step.output + "".join(step.environ.values()) for step in grading)
    assert not any(line.startswith("::") for step in grading for line in step.output.splitlines())
    assert {path.name for path in folder.iterdir()} <= {"cache", "laid", "run-101", "stubs", "tree"}
