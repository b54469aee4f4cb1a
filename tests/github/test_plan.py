"""What is graded is what was worked on and has no record of the same files and the same course."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from course.release import compute_skeleton_digests, write_release
from grading.errors import UsageError
from grading.github import plan_command
from grading.github.outputs import write_outputs
from grading.github.plan import MAX_PLAN_BYTES, GradingPlan, ReusedResult, decode_plan, plan_gradings_of_changes
from grading.grade import build_course_record
from grading.limits import compute_wall_limit
from grading.manifest.loader import load_manifest
from grading.manifest.model import Manifest
from grading.result import DataRecord, Result, Verdict
from grading.submission import copy_submission
from tests.render.results import build_result

TENSOR, LAYERS, RECIPE = (
    Path("modules/02_tensor/tinytorch/tensor.py"),
    Path("modules/04_layers/tinytorch/layers.py"),
    Path("modules/04_layers/recipe.py"),
)
AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def released(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a release as the repository that grades holds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("course.release.seal_manifest", lambda manifest: manifest)  # no plan needs 1,500 digests
        return write_release(root, tmp_path_factory.mktemp("plan") / "course").target


@pytest.fixture(scope="module")
def manifest(released: Path) -> Manifest:
    """Load the release's manifest."""
    return load_manifest(released)


@pytest.fixture
def tree(released: Path, tmp_path: Path) -> Path:
    """Make a student's repository as it is on the first day."""
    return Path(shutil.copytree(released, tmp_path / "student"))


def change_files(tree: Path, *paths: Path) -> None:
    """Write something into a student's files."""
    for path in paths:
        (tree / path).write_text((tree / path).read_text() + "\n# mine\n")


def list_sessions(found: GradingPlan) -> tuple[str, ...]:
    """List the sessions that are graded."""
    return tuple(job.session for job in found.jobs)


def build_record(released: Path, tree: Path, manifest: Manifest, session: str, **more: object) -> Result:
    """Build a record that fits the tree as it is now."""
    number = int(session.removeprefix("milestone-")) if session.startswith("milestone") else None
    module = None if number else session.removeprefix("module-")
    milestone = manifest.milestone(number) if number else None
    last = manifest.module(milestone.trigger if milestone else str(module))
    modules = tuple(m for m in manifest.modules if m.number <= last.number)
    copied = tree.parent / "copied"
    submission = copy_submission(tree, manifest, modules, milestone, copied).record
    shutil.rmtree(copied)
    course = build_course_record(released, manifest)
    values = {"milestone": number, "module": module, "started_at": AT, "verdict": Verdict.NOT_YET}
    return build_result().model_copy(update={**values, "submission": submission, "course": course, **more})


def test_of_an_untouched_release_nothing_is_graded(released, tree, manifest):
    """Nobody has worked on it, so every session is skipped exactly once."""
    found = plan_gradings_of_changes(released, tree, (), manifest)
    assert (found.jobs, found.reused) == ((), ())
    built = [one for one in (*manifest.modules, *manifest.milestones) if one.status == "built"]
    assert len(found.skipped) == len(set(found.skipped)) == len(built)


def test_the_course_itself_knows_what_it_gives_out(root, tree):
    """Typed in the course's own repository, which has no lock, the plan is the release's."""
    given = compute_skeleton_digests(root, load_manifest(root))
    assert plan_gradings_of_changes(root, tree, (), load_manifest(root), given=given).jobs == ()
    change_files(tree, TENSOR)
    assert list_sessions(plan_gradings_of_changes(root, tree, (), load_manifest(root), given=given)) == (
        "module-02_tensor",
    )


def test_a_module_whose_file_was_changed_is_graded_alone(released, tree, manifest):
    """Modules after it are not begun, and its milestone's recipe is as released."""
    change_files(tree, TENSOR)
    found = plan_gradings_of_changes(released, tree, (), manifest)
    assert list_sessions(found) == ("module-02_tensor",)
    assert found.jobs[0].title == "Tensor"
    assert "milestone-1" in found.skipped


def test_a_milestone_is_graded_once_its_recipe_was_changed(released, tree, manifest):
    """With as many minutes as its budget needs, and more."""
    change_files(tree, RECIPE)
    (job,) = plan_gradings_of_changes(released, tree, (), manifest).jobs
    assert (job.session, job.title) == ("milestone-1", "Basic Inference")
    assert job.minutes > compute_wall_limit(manifest.milestone(1).budget.wall_seconds) / 60


def test_line_ends_are_no_work(released, tree, manifest):
    """Git may check files out with CRLF."""
    (tree / TENSOR).write_bytes((tree / TENSOR).read_bytes().replace(b"\n", b"\r\n"))
    assert plan_gradings_of_changes(released, tree, (), manifest).jobs == ()


def test_what_cannot_be_copied_is_graded_all_the_same(released, tree, manifest):
    """A link, a huge file, none at all: the grader says what is wrong with it, and nothing of it is opened here."""
    (tree / TENSOR).unlink()
    (tree / TENSOR).symlink_to(released / TENSOR)
    (tree / RECIPE).write_text("#" * 300_000)
    (tree / LAYERS).unlink()
    assert list_sessions(plan_gradings_of_changes(released, tree, (), manifest)) == (
        "module-02_tensor",
        "module-04_layers",
        "milestone-1",
    )


def test_the_same_files_and_the_same_course_are_answered_by_their_record(released, tree, manifest):
    """With its verdict and date, good or bad."""
    change_files(tree, TENSOR, RECIPE)
    history = [build_record(released, tree, manifest, name) for name in ("module-02_tensor", "milestone-1")]
    found = plan_gradings_of_changes(released, tree, history, manifest)
    assert found.jobs == ()
    assert found.reused[0] == ReusedResult("module-02_tensor", "Tensor", "not_yet", AT)
    assert [one.session for one in found.reused] == ["module-02_tensor", "milestone-1"]
    assert plan_gradings_of_changes(released, tree, history, manifest, again=True).reused == ()


def test_an_earlier_module_is_part_of_a_later_one_s_submission(released, tree, manifest):
    """Who changes module 02 has module 04 graded again, for it leans on it."""
    change_files(tree, TENSOR, LAYERS)
    history = [build_record(released, tree, manifest, name) for name in ("module-02_tensor", "module-04_layers")]
    change_files(tree, TENSOR)
    assert list_sessions(plan_gradings_of_changes(released, tree, history, manifest)) == (
        "module-02_tensor",
        "module-04_layers",
    )


def test_only_the_latest_record_answers(released, tree, manifest):
    """In whatever order they are read; and neither an error nor a stand-in's figures nor another course's record."""
    change_files(tree, TENSOR)
    old = build_record(released, tree, manifest, "module-02_tensor")
    later = datetime(2026, 11, 2, tzinfo=UTC)
    other = old.submission.model_copy(update={"digest": "0" * 64})
    course = old.course.model_copy(update={"digest": "0" * 64})
    stand_in = (DataRecord(name="digits", digest="0" * 64, stand_in_for="mnist"),)
    for change in ({"submission": other}, {"course": course}, {"verdict": Verdict.ERROR}, {"data": stand_in}):
        newer = old.model_copy(update={"started_at": later, **change})
        assert list_sessions(plan_gradings_of_changes(released, tree, [newer, old], manifest)) == (
            "module-02_tensor",
        ), change
    assert plan_gradings_of_changes(released, tree, [old], manifest).jobs == ()


def test_a_lock_that_cannot_be_read_is_the_course_s_fault(released, manifest, tree, tmp_path):
    """The message says which file, and how to write it again; the course itself has none, and grades everything."""
    broken = Path(shutil.copytree(released, tmp_path / "broken"))
    (broken / "course.lock.json").write_text('{"student": []}')
    with pytest.raises(UsageError, match=r"course\.lock\.json cannot be read"):
        plan_gradings_of_changes(broken, tree, (), manifest)
    (broken / "course.lock.json").unlink()
    assert plan_gradings_of_changes(broken, tree, (), manifest).skipped == ()
    with pytest.raises(UsageError, match="is not a folder"):
        plan_gradings_of_changes(released, tmp_path / "nowhere", (), manifest)


def test_a_plan_is_read_back_as_it_was_written(released, tree, manifest):
    """The plan survives an artifact as well."""
    change_files(tree, TENSOR, LAYERS)
    written = plan_gradings_of_changes(
        released, tree, [build_record(released, tree, manifest, "module-02_tensor")], manifest
    )
    assert written.jobs
    assert written.reused
    assert decode_plan(written.to_json().encode(), manifest) == written


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b"\xff", b"[" * 50_000, b"x" * (MAX_PLAN_BYTES + 1),
        b'{"jobs": [{"session": "module-02_tensor; id"}], "reused": [], "skipped": []}',
        b'{"jobs": [{"session": ["module-02_tensor"]}], "reused": [], "skipped": []}',
        b'{"jobs": [], "reused": [], "skipped": ["milestone-1", "milestone-1"]}',
        b'{"jobs": [], "reused": [{"session": "milestone-1", "verdict": "gold", "started_at": ""}], "skipped": []}',
        b'{"jobs": [], "reused": [{"session": "milestone-1", "verdict": "unlocked", "started_at": 7}], "skipped": []}',
    ],
)  # fmt: skip
def test_a_forged_plan_is_refused(manifest, data):
    """It comes from an artifact, which a fork's workflow may have written."""
    with pytest.raises(ValueError, match="plan"):
        decode_plan(data, manifest)


def test_a_plan_s_titles_are_the_manifest_s(manifest):
    """Whatever the file says."""
    forged = {"session": "milestone-1", "title": "[click](https://evil.example)", "minutes": 10**9}
    found = decode_plan(json.dumps({"jobs": [forged], "reused": [], "skipped": []}).encode(), manifest)
    assert found.jobs[0].title == "Basic Inference"
    assert found.jobs[0].minutes < 60


def test_no_value_can_end_itself_and_begin_another_output(tmp_path):
    """Each stands between delimiters that nobody knew before."""
    file = tmp_path / "output"
    write_outputs(file, {"plan": "a\nEOF\nadmin=true\nend-\n", "any": "true"})
    write_outputs(file, {"any": "false"})
    lines = file.read_text().splitlines()
    found, at = [], 0
    while at < len(lines):
        name, delimiter = lines[at].split("<<")
        end = lines.index(delimiter, at + 1)
        found.append((name, "\n".join(lines[at + 1 : end])))
        at = end + 1
    assert found == [("plan", "a\nEOF\nadmin=true\nend-\n"), ("any", "true"), ("any", "false")]


def test_the_summary_and_the_table_say_what_becomes_of_each_session(released, tree, manifest):
    """Graded, as it was on that day, or not begun."""
    change_files(tree, TENSOR, LAYERS)
    found = plan_gradings_of_changes(
        released, tree, [build_record(released, tree, manifest, "module-02_tensor")], manifest
    )
    said = dict(plan_command.describe_each_session(found))
    assert said["module-02_tensor"] == "as on 2026-11-01 12:00 UTC: not yet"
    assert said["module-04_layers"].startswith("is graded")
    assert said["milestone-1"] == "not begun"
    assert "| `module-02_tensor` | as on 2026-11-01 12:00 UTC: not yet |" in plan_command.build_plan_summary(found)
