"""From submission to result: verdicts with evidence, errors that are nobody's failure, and nothing measured twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from grading import __main__ as command
from grading import cache, grade
from grading.errors import GraderError, UsageError
from grading.grade import grade_milestone, grade_module
from grading.manifest.loader import load_manifest
from grading.manifest.model import CriterionKind
from grading.measurement import Measurement
from grading.render import record
from grading.result import CriterionStatus, Result, Verdict, decide_verdict
from grading.sandbox.launch import FENCES
from tests.render.results import build_criterion
from tests.submissions.build import copy_solution
from tests.submissions.partial import make_passing_check

RUN_STUDENT_CODE = ("module_tests", "integration_tests", "xor", "demo")
TRAIN = grade.CHECKS["xor"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty cache, so that no test reads or writes the user's own."""
    monkeypatch.setattr(cache, "find_measurement_cache_folder", lambda: tmp_path / "cache" / "results")


@pytest.fixture(scope="module")
def unlocked(root: Path) -> Result:
    """Grade the course's own solution once."""
    return grade_milestone(root, 1, seed=7, again=True)


@pytest.fixture
def tree(root: Path, tmp_path: Path) -> Path:
    """Copy the solution's files, so that a test can spoil them."""
    return copy_solution(root, tmp_path / "tree")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of the checks that run student code were made. Here they pass at once; `unlocked` makes them in full."""
    made: list[str] = []

    def note(check: str) -> None:
        taken = make_passing_check(check)
        monkeypatch.setitem(grade.CHECKS, check, lambda context: made.append(check) or taken(context))

    for check in RUN_STUDENT_CODE:
        note(check)
    return made


def test_the_solution_unlocks_milestone_1(unlocked):
    """Every criterion is passed and carries its figure, its threshold and how it was measured."""
    assert unlocked.verdict is Verdict.UNLOCKED, unlocked.first_failure
    assert {c.kind for c in unlocked.criteria} == set(CriterionKind)
    for one in unlocked.criteria:
        assert one.status is CriterionStatus.PASSED
        assert one.measured is not None
        assert one.how
        met = one.measured >= one.threshold
        assert met if one.comparison == "at_least" else one.measured <= one.threshold


def test_the_record_names_its_evidence(unlocked):
    """Seed, files with digests, machine, sandbox, versions, and training curves measured by the grader."""
    assert unlocked.seed == 7
    assert unlocked.submission.student == "course"
    assert len(unlocked.submission.files) >= 7
    assert unlocked.machine.sandbox in FENCES
    assert "numpy" in unlocked.machine.packages
    assert len(unlocked.curves) == 5
    for curve in unlocked.curves:
        assert curve.values[0] > 0.5
        assert curve.values[-1] < 0.1
    assert unlocked.reproduce == "nox -s milestone-1 -- --seed 7"


def test_the_record_fits_its_published_schema(unlocked, root):
    """docs/schema/result.schema.json describes what is written."""
    schema = json.loads((root / "docs/schema/result.schema.json").read_text())
    data = json.loads(record.encode_result(unlocked))
    jsonschema.validate(data, schema)
    assert {"milestone", "verdict", "criteria"} <= data.keys()
    assert {"kind", "name", "status", "measured", "threshold"} <= data["criteria"][0].keys()
    assert record.decode_result(record.encode_result(unlocked)) == unlocked


def test_an_unchanged_milestone_is_measured_once(root, tree, measured, monkeypatch):
    """The second run trains nothing and says when the first did, and a change of one file trains again."""
    monkeypatch.setitem(grade.CHECKS, "xor", lambda context: measured.append("xor") or TRAIN(context))
    first = grade_milestone(root, 1, submission=tree)
    assert first.verdict is Verdict.UNLOCKED, first.first_failure
    assert all(c.measured_at is None for c in first.criteria)
    assert (len(first.curves), first.timing.student > 0) == (5, True)
    second = grade_milestone(root, 1, submission=tree)
    assert (second.verdict, second.seed, second.curves) == (first.verdict, first.seed, first.curves)
    for before, now in zip(first.criteria, second.criteria, strict=True):
        assert now.measured_at == (None if now.name == "quiz" else first.started_at)
        assert now.model_copy(update={"measured_at": None}) == before
    assert second.timing.student == 0
    assert measured == [*RUN_STUDENT_CODE]
    monkeypatch.setitem(grade.CHECKS, "xor", make_passing_check("xor"))
    with (tree / "modules/04_layers/recipe.py").open("a") as file:
        file.write("# changed\n")
    third = grade_milestone(root, 1, submission=tree)
    assert third.key != first.key
    assert all(c.measured_at is None for c in third.criteria)
    assert measured[4:] == ["module_tests", "integration_tests", "demo"]


def test_a_deleted_test_file_is_named_with_what_restores_it(root, tmp_path):
    """Missing course files are neither the student's failure nor the machine's: the message asks to restore them."""
    course = tmp_path / "course"
    shutil.copytree(root / "modules", course / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "milestones.yaml", course)
    tests = course / "modules/01_setup/test_setup.py"
    tests.unlink()
    with pytest.raises(UsageError, match=r"git checkout -- modules/01_setup/test_setup\.py"):
        grade_module(course, "01_setup")
    for text in ("", "def test_it(:"):
        tests.write_text(text)
        (tests_criterion,) = [c for c in grade_module(course, "01_setup").criteria if c.name == "module_tests"]
        assert tests_criterion.status is CriterionStatus.ERROR
        assert "git checkout -- modules/01_setup/test_setup.py" in tests_criterion.explanation


def test_one_task_can_be_tested_alone(root):
    """By its id or its number in the module; the record says that it is not the whole module."""
    for task in ("1.2", "2"):
        result = grade_module(root, "01_setup", task=task, seed=3)
        assert result.name.endswith(", only task 1.2")
        tests = next(c for c in result.criteria if c.name == "module_tests")
        assert " tests of task 1.2 in " in tests.how
    with pytest.raises(UsageError, match=r"Its tasks are 1\.1, 1\.2"):
        grade_module(root, "01_setup", task="2.2")


def test_planned_and_unknown_are_wrong_usage(root, tmp_path):
    """A clear sentence; nothing is pretended."""
    manifest = (root / "milestones.yaml").read_text(encoding="utf-8")
    for name in ("  - id: 16_tinygpt\n", "  - id: 5\n"):
        manifest = manifest.replace(name, f"{name}    status: planned\n")
    (tmp_path / "milestones.yaml").write_text(manifest, "utf-8")
    with pytest.raises(UsageError, match="planned"):
        grade_milestone(tmp_path, 5)
    with pytest.raises(UsageError, match="no milestone 9"):
        grade_milestone(root, 9)
    with pytest.raises(UsageError, match="planned"):
        grade_module(tmp_path, "16_tinygpt")
    with pytest.raises(UsageError, match="no module"):
        grade_module(root, "17_future")


def test_a_module_is_graded_by_itself(root):
    """Its audit and its tests, through a worker; no milestone is claimed."""
    result = grade_module(root, "02_tensor")
    assert (result.milestone, result.module, result.verdict) == (None, "02_tensor", Verdict.UNLOCKED)


@pytest.mark.usefixtures("measured")
def test_the_record_names_the_commit_that_was_graded(root, tree):
    """A reused result gets the new commit, since another commit may hold the same files. A short hash is refused."""
    first, second = "a" * 40, "b" * 40
    graded = grade_milestone(root, 1, submission=tree, commit=first)
    assert graded.submission.commit == first
    known = grade_milestone(root, 1, submission=tree, commit=second)
    assert (known.criteria[0].measured_at, known.submission.commit) == (graded.started_at, second)
    assert grade_milestone(root, 1, submission=tree).submission.commit is None
    assert grade_module(root, "01_setup", commit=first).submission.commit == first
    for wrong in ("", "HEAD", "a" * 39, "A" * 40, "a" * 40 + "\n"):
        with pytest.raises(UsageError, match="40 hexadecimal digits"):
            grade_module(root, "01_setup", commit=wrong)


@pytest.mark.parametrize(
    ("verdict", "plain", "exit_zero"), [("unlocked", 0, 0), ("provisional", 0, 0), ("not_yet", 1, 0), ("error", 3, 3)]
)
def test_with_exit_zero_only_an_error_is_a_failure_of_the_command(monkeypatch, unlocked, verdict, plain, exit_zero):
    """For a workflow the record is the answer; what is our own trouble still fails the job."""
    result = unlocked.model_copy(update={"verdict": Verdict(verdict)})
    monkeypatch.setattr(command, "grade_module", lambda *_arguments, **_options: result)
    run = CliRunner().invoke
    assert run(command.app, ["module", "02_tensor"]).exit_code == plain
    assert run(command.app, ["module", "02_tensor", "--exit-zero"]).exit_code == exit_zero


def test_official_grading_never_reuses(root, tree, measured):
    """An instructor's run measures, whatever was measured before; so its seed is fresh."""
    first = grade_milestone(root, 1, submission=tree, official=True, student="course")
    second = grade_milestone(root, 1, submission=tree, official=True, student="course")
    assert first.official
    assert first.seed != second.seed
    assert measured == [*RUN_STUDENT_CODE] * 2


@pytest.mark.usefixtures("measured")
def test_an_official_grading_that_was_told_no_student_is_provisional(root, tree):
    """Without an id the grader had to trust student.yaml, and says so; with an id it does not."""
    believed = grade_milestone(root, 1, submission=tree, official=True)
    assert (believed.verdict, believed.submission.student) == (Verdict.PROVISIONAL, "course")
    (reason,) = believed.provisional_because
    assert reason.startswith("only the submission's own student.yaml identifies")
    assert "--student" in reason
    known = grade_milestone(root, 1, submission=tree, official=True, student="course")
    assert (known.verdict, known.provisional_because) == (Verdict.UNLOCKED, ())
    assert grade_milestone(root, 1, submission=tree, again=True).verdict is Verdict.UNLOCKED


def test_what_the_machine_did_not_measure_decides_before_what_failed():
    """If one criterion failed and another could not be judged, there is no verdict to keep."""
    failed, error, fine = build_criterion("failed", 0.5), build_criterion("error", None), build_criterion()
    assert decide_verdict((failed, error)) is Verdict.ERROR
    assert decide_verdict((failed, fine)) is Verdict.NOT_YET
    assert decide_verdict((error, fine)) is Verdict.ERROR


@pytest.mark.usefixtures("measured")
def test_an_error_of_the_grader_is_not_the_students_failure(root, monkeypatch):
    """A check that breaks, or a machine that lacks something, is an error with its reason."""
    monkeypatch.setitem(grade.CHECKS, "xor", lambda _context: 1 / 0)
    result = grade_milestone(root, 1, again=True)
    assert result.verdict is Verdict.ERROR
    assert result.verdict.exit_code == 3
    broken = [c for c in result.criteria if c.status is CriterionStatus.ERROR]
    assert {c.kind for c in broken} == {CriterionKind.PERFORMANCE}
    assert all("the grader failed in xor" in (c.explanation or "") for c in broken)

    def no_data(_context: object) -> Measurement:
        raise GraderError("no data")

    monkeypatch.setitem(grade.CHECKS, "xor", no_data)
    assert grade_milestone(root, 1, again=True).verdict is Verdict.ERROR


def test_after_failed_code_quality_the_expensive_part_is_not_attempted(root, tree):
    """Cheap checks run first, the questions are judged anyway, and the first thing to fix is named."""
    (tree / "modules/03_activations/tinytorch/activations.py").write_text("import torch\n")
    result = grade_milestone(root, 1, submission=tree)
    status = {c.name: c.status for c in result.criteria}
    assert status["imports"] is CriterionStatus.FAILED
    assert status["module_tests"] is status["accuracy"] is status["demo"] is CriterionStatus.NOT_ATTEMPTED
    assert status["quiz"] is CriterionStatus.PASSED
    assert "torch" in result.first_failure.got


@pytest.mark.usefixtures("measured")
def test_changed_course_files_make_a_pass_provisional(root, tree, monkeypatch):
    """A verdict of edited tests says so."""
    monkeypatch.setattr(grade, "find_changed_course_files", lambda _root: ("modules/02_tensor/test_tensor.py",))
    result = grade_milestone(root, 1, submission=tree, again=True)
    assert result.verdict is Verdict.PROVISIONAL
    assert "test_tensor.py" in result.provisional_because[0]


def test_nan_meets_no_threshold(root):
    """A figure that is not a number passes nothing, whichever side is bounded."""
    for one in load_manifest(root).milestone(1).criteria:
        assert not one.is_met_by(float("nan"))


def test_nothing_judged_is_no_pass():
    """An empty list of criteria unlocks nothing."""
    assert decide_verdict(()) is Verdict.ERROR
