"""Nothing is measured twice: figures are kept under the digest of all they depend on, and answer for nothing else."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grading import __main__ as command
from grading import cache, dependencies, grade
from grading.data import load as data_sets
from grading.dependencies import collect_dependencies
from grading.errors import GraderError
from grading.grade import grade_milestone, grade_module
from grading.machine import build_machine_record
from grading.manifest.loader import load_manifest
from grading.measurement import Measurement
from grading.remote import WorkerDiedError
from grading.render import words
from grading.render.markdown import render_markdown
from grading.render.progress_watch import SilentWatch
from grading.result import CriterionStatus, DataRecord, Failure, Result, Verdict
from grading.submission import copy_submission
from tests.render.results import build_result as some_result
from tests.submissions.build import copy_solution
from tests.submissions.partial import make_passing_check
from tito import quiz

COSTLY = ("module_tests", "integration_tests", "xor", "demo")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty cache, so that no test reads or writes the user's own."""
    monkeypatch.setattr(cache, "find_measurement_cache_folder", lambda: tmp_path / "kept")


@pytest.fixture
def tree(root: Path, tmp_path: Path) -> Path:
    """Copy the solution's files for milestone 1, so that a test can change them."""
    return copy_solution(root, tmp_path / "tree")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each costly check of milestone 1 is measured; each passes without any work."""
    calls: Counter[str] = Counter()

    def count(check: str):
        """Make a check that passes and counts its calls."""
        measure = make_passing_check(check)

        def counting(context):
            """Count the call, and pass."""
            calls[check] += 1
            return measure(context)

        return counting

    for check in COSTLY:
        monkeypatch.setitem(grade.CHECKS, check, count(check))
    return calls


def test_answering_the_questions_measures_nothing_again(root, tree, counted):
    """The answers alone are new, and the verdict with them; what was measured says when."""
    answers = (tree / "answers/milestone-1.yaml").read_bytes()
    (tree / "answers/milestone-1.yaml").unlink()
    first = grade_milestone(root, 1, submission=tree)
    assert first.verdict is Verdict.NOT_YET
    (tree / "answers/milestone-1.yaml").write_bytes(answers)
    second = grade_milestone(root, 1, submission=tree)
    assert second.verdict is Verdict.UNLOCKED
    assert counted == dict.fromkeys(COSTLY, 1)
    assert second.seed == first.seed
    assert {c.measured_at for c in second.criteria if c.name != "quiz"} == {first.started_at}
    assert f"{first.started_at:%Y-%m-%d %H:%M} UTC" in words.describe_reused_measurements(second)
    assert words.describe_reused_measurements(second) in render_markdown(second)
    assert words.describe_reused_measurements(first) is None


def test_what_an_interrupted_run_has_measured_is_kept(root, tree, counted, monkeypatch):
    """The next run goes on from there, with the same seed."""
    whole = grade.CHECKS["xor"]

    def interrupt(_context):
        raise KeyboardInterrupt

    interrupt.__module__, interrupt.__qualname__ = whole.__module__, whole.__qualname__
    monkeypatch.setitem(grade.CHECKS, "xor", interrupt)
    with pytest.raises(KeyboardInterrupt):
        grade_milestone(root, 1, submission=tree, seed=11)
    monkeypatch.setitem(grade.CHECKS, "xor", whole)
    result = grade_milestone(root, 1, submission=tree)
    assert (result.verdict, result.seed) == (Verdict.UNLOCKED, 11)
    assert counted == dict.fromkeys(COSTLY, 1)
    assert words.describe_reused_measurements(result).startswith("Some figures were measured at")


def test_ctrl_c_among_module_tests_ends_the_run(root):
    """Pytest, which takes it for its own, does not make an error of the grader's of it."""

    class Impatient(SilentWatch):
        def report_steps_done(self, *_: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_module(root, "01_setup", watch=Impatient())


def test_a_seed_is_answered_from_its_own_figures_only(root, tree, counted):
    """Another seed draws other tasks; the same one, and none at all, are answered from what is there."""
    assert grade_milestone(root, 1, submission=tree, seed=1).seed == 1
    assert grade_milestone(root, 1, submission=tree, seed=1).seed == 1
    assert grade_milestone(root, 1, submission=tree).seed == 1
    assert counted["xor"] == 1
    assert grade_milestone(root, 1, submission=tree, seed=2).seed == 2
    assert counted["xor"] == 2
    assert grade_milestone(root, 1, submission=tree).seed == 2
    assert grade_milestone(root, 1, submission=tree, again=True, seed=2).seed == 2
    assert counted["xor"] == 3


def test_a_run_that_was_given_up_early_takes_no_figures_away(root, tree, counted, monkeypatch):
    """What it measured in a moment does not outweigh what an earlier one has measured in minutes."""
    grade_milestone(root, 1, submission=tree, seed=1)

    def interrupt(_context):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setitem(grade.CHECKS, "module_tests", interrupt)
        with pytest.raises(KeyboardInterrupt):
            grade_milestone(root, 1, submission=tree, seed=2)
    assert grade_milestone(root, 1, submission=tree).seed == 1
    assert counted == dict.fromkeys(COSTLY, 1)


def test_official_grading_neither_takes_nor_leaves_figures(root, tree, counted, tmp_path):
    """What student code might have written, here or on a server, answers for nothing that counts."""
    grade_milestone(root, 1, submission=tree)
    files = {path: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    for _ in range(2):
        result = grade_milestone(root, 1, submission=tree, official=True, student="course")
        assert all(c.measured_at is None for c in result.criteria)
    assert counted["xor"] == 3
    assert {path: path.read_bytes() for path in (tmp_path / "kept").iterdir()} == files


def test_a_miss_is_kept_and_an_error_is_not(root, tree, counted, monkeypatch):
    """Missed figures come back with what to fix; whatever the machine could not do is tried again."""
    missed = Failure(title="Accuracy", got="0.5", hint="Train longer.")
    figures = {c.figure: c.threshold for c in load_manifest(root).milestone(1).criteria if c.check == "xor"}

    def miss(_context):
        """Return a measurement that misses its threshold."""
        counted["miss"] += 1
        return Measurement({**figures, "accuracy": 0.5}, {"accuracy": (missed,)}, how="measured")

    monkeypatch.setitem(grade.CHECKS, "xor", miss)
    for _ in range(2):
        result = grade_milestone(root, 1, submission=tree)
        assert (result.verdict, result.first_failure) == (Verdict.NOT_YET, missed)
    assert counted["miss"] == 1

    def fail(_context):
        """Raise an error of the grader."""
        counted["fail"] += 1
        raise GraderError("no disk")

    monkeypatch.setitem(grade.CHECKS, "xor", fail)
    for _ in range(2):
        assert grade_milestone(root, 1, submission=tree).verdict is Verdict.ERROR
    assert counted["fail"] == 2


def test_nothing_is_kept_of_a_check_in_which_a_worker_died(root, tree, counted, monkeypatch):
    """Memory or time may have been the machine's; a worker that the grader ended is another matter."""
    measure = make_passing_check("xor")

    def with_worker(context):
        """Use a worker, which dies the first time, and pass."""
        worker = context.start()
        worker.request("echo", 1)
        counted["workers"] += 1
        if counted["workers"] == 1:
            worker._record_failure(WorkerDiedError("killed"))
        worker.close()
        return measure(context)

    monkeypatch.setitem(grade.CHECKS, "xor", with_worker)
    for expected in (1, 2, 2):
        grade_milestone(root, 1, submission=tree)
        assert counted["workers"] == expected


def test_what_student_code_printed_comes_back(root, tree, counted, monkeypatch):
    """A report made from cached figures shows it as the first one did."""
    measure = make_passing_check("xor")

    def printing(context):
        """Print as student code does, and pass."""
        context.log.output.append("hello from the network\n")
        counted["printing"] += 1
        return measure(context)

    monkeypatch.setitem(grade.CHECKS, "xor", printing)
    for _ in range(2):
        assert grade_milestone(root, 1, submission=tree).student_output == "hello from the network\n"
    assert counted["printing"] == 1


def test_the_session_asks_open_questions_of_nobody_but_the_student(monkeypatch):
    """Before it measures, and never where somebody else's repository is graded."""
    happened: list[str] = []

    def measure(*_: object, **__: object) -> Result:
        """Note the measurement, and return a result."""
        happened.append("measured")
        return some_result()

    monkeypatch.setattr(quiz, "offer_open_questions", lambda *_: happened.append("asked"))
    monkeypatch.setattr(command, "grade_milestone", measure)
    monkeypatch.setattr(command.progress, "save_event", lambda *_: None)
    for others in ((), ("--official",), ("--submission", "elsewhere")):
        assert CliRunner().invoke(command.app, ["milestone", "1", *others]).exit_code == 0
    assert happened == ["asked", "measured", "measured", "measured"]


# The key.


def compute_check_key(
    root: Path, tree: Path, into: Path, check: str = "xor", *, sandbox: str = "bubblewrap", **changes
) -> str:
    """Compute the cache key of a check of milestone 1, after some changes of the milestone."""
    manifest = load_manifest(root)
    milestone = manifest.milestone(1).model_copy(update=changes)
    shutil.rmtree(into, ignore_errors=True)
    handed_in = copy_submission(tree, manifest, manifest.list_modules_up_to(milestone), milestone, into)
    found = collect_dependencies(root, manifest, milestone, handed_in, sandbox)
    return found.compute_cache_key(check, grade.CHECKS[check])


def test_a_key_changes_with_each_thing_that_figures_depend_on(root, tree, tmp_path, monkeypatch):
    """Code, recipe, budget, fence and versions; of the course the grader's files, and for tests those that are run."""
    into, budget = tmp_path / "into", load_manifest(root).milestone(1).budget
    keys = [compute_check_key(root, tree, into), compute_check_key(root, tree, into, sandbox="landlock")]
    keys.append(compute_check_key(root, tree, into, budget=budget.model_copy(update={"threads": 2})))
    keys.append(compute_check_key(root, tree, into, check="demo"))
    here = build_machine_record("bubblewrap").model_copy(update={"packages": {"numpy": "9.9"}})
    with monkeypatch.context() as patched:
        patched.setattr(dependencies, "build_machine_record", lambda _sandbox: here)
        keys.append(compute_check_key(root, tree, into))
    course = tmp_path / "course"
    for name in ("grading", "modules"):
        shutil.copytree(root / name, course / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "milestones.yaml", course)
    assert compute_check_key(course, tree, into) == keys[0]
    tests = compute_check_key(course, tree, into, check="module_tests")
    for name in ("modules/02_tensor/test_tensor.py", "grading/checks/xor_training.py"):
        with (course / name).open("a") as file:
            file.write("# changed\n")
        changed = compute_check_key(course, tree, into, check="module_tests")
        assert changed != tests
        tests = changed
    keys.append(compute_check_key(course, tree, into))
    for name in ("modules/02_tensor/tinytorch/tensor.py", "modules/04_layers/recipe.py"):
        with (tree / name).open("a") as file:
            file.write("# changed\n")
        keys.append(compute_check_key(root, tree, into))
    assert len(set(keys)) == len(keys)


def test_a_key_stays_when_nothing_changes_that_figures_depend_on(root, tree, tmp_path):
    """The key contains no answers, no owner, no questions, no texts of the manifest and no other module's test."""
    into = tmp_path / "into"
    before = compute_check_key(root, tree, into)
    (tree / "answers/milestone-1.yaml").write_text("student: bob\nanswers: {}\n")
    (tree / "student.yaml").write_text("id: bob\n")
    (tree / "modules/06_spatial/tinytorch/spatial.py").write_text("# of a later milestone\n")
    assert compute_check_key(root, tree, into, questions=(), name="Another name", impact="Other words.") == before


def test_only_checks_with_data_depend_on_the_data(root, monkeypatch, tmp_path):
    """A data set that arrives takes module tests away from nobody."""
    manifest = load_manifest(root)
    milestone = manifest.milestone(2)
    handed_in = copy_submission(root, manifest, manifest.list_modules_up_to(milestone), milestone, tmp_path / "into")
    found = collect_dependencies(root, manifest, milestone, handed_in, "process")

    def keys() -> dict[str, str]:
        """Map three checks to their cache keys."""
        return {
            check: found.compute_cache_key(check, grade.CHECKS[check]) for check in ("module_tests", "mnist", "demo")
        }

    monkeypatch.setattr(dependencies, "describe_data_identity", lambda name: f"{name} is missing")
    missing = keys()
    monkeypatch.setattr(dependencies, "describe_data_identity", lambda name: f"{name} is here")
    assert {check for check, key in keys().items() if key == missing[check]} == {"module_tests"}


def test_figures_of_a_stand_in_count_until_the_data_have_come(root, tree, counted, monkeypatch):
    """Offline nothing is trained twice; once the download works, the data themselves are measured."""
    measure = make_passing_check("xor")
    record = DataRecord(name="digits", digest="0" * 64, stand_in_for="mnist")

    def on_a_stand_in(context):
        """Pass on data that stand in for the real ones."""
        counted["stand-in"] += 1
        return replace(measure(context), data=record)

    monkeypatch.setitem(grade.CHECKS, "xor", on_a_stand_in)
    online = False
    monkeypatch.setattr(grade, "fetch_if_missing", lambda _name, _watch: online)
    for _ in range(2):
        assert grade_milestone(root, 1, submission=tree).verdict is Verdict.PROVISIONAL
    assert counted["stand-in"] == 1
    online = True
    grade_milestone(root, 1, submission=tree)
    assert counted["stand-in"] == 2


def test_a_data_set_that_is_here_is_not_looked_for_elsewhere(monkeypatch):
    """Neither one that is whole, nor one in a folder that the user has named."""
    monkeypatch.setattr(data_sets, "fetch_data_set", lambda *_: pytest.fail("asked the network"))
    for missing, own in (((), False), ((), True), (("train-images",), True)):
        place = data_sets.DataLocation(Path("/nowhere"), own=own, missing=missing)
        monkeypatch.setattr(data_sets, "locate_data_set", lambda _source, place=place: place)
        assert data_sets.fetch_if_missing("mnist", None) is False


# The files.


def make_kept_figures(key: str = "k", **figures: float | None) -> cache.KeptFigures:
    """Make figures as they are kept under this key."""
    return cache.KeptFigures(
        key=key,
        seed=5,
        measured_at=datetime(2026, 11, 30, tzinfo=UTC),
        printed="",
        measured=Measurement(figures or {"accuracy": 1.0}),
    )


def test_figures_come_back_as_they_were():
    """Also those that JSON has no word for, and None."""
    before = make_kept_figures(a=math.inf, b=-math.inf, c=None, d=0.1)
    cache.save_measurement(before)
    assert cache.load_cached_measurement("k", ["a", "d"]) == before
    cache.save_measurement(make_kept_figures(a=math.nan))
    assert math.isnan(cache.load_cached_measurement("k", ["a"]).measured.figures["a"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{ not json",
        "[]",
        '{"record": "tinytorch/result/v1"}',
        make_kept_figures("other").model_dump_json(),
        "\x00" * 9,
    ],
    ids=["empty", "not JSON", "a list", "a result", "other figures", "null bytes"],
)
def test_a_damaged_or_forged_file_is_set_aside(text, tmp_path):
    """It answers for nothing, disturbs nobody again, and is not lost."""
    cache.save_measurement(make_kept_figures())
    (tmp_path / "kept" / "k.json").write_text(text)
    assert cache.load_cached_measurement("k", ["accuracy"]) is None
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["k.json.damaged-1"]
    cache.save_measurement(make_kept_figures())
    assert cache.load_cached_measurement("k", ["accuracy"]) is not None


def test_figures_that_lack_one_that_is_asked_for_are_none():
    """A check that measures more than it did has measured nothing yet."""
    cache.save_measurement(make_kept_figures(accuracy=1.0))
    assert cache.load_cached_measurement("k", ["accuracy", "loss"]) is None


def test_only_the_newest_files_stay(monkeypatch, tmp_path):
    """Every change brings figures of its own, and a disk has an end."""
    monkeypatch.setattr(cache, "MOST_FILES", 3)
    for number in range(6):
        cache.save_measurement(make_kept_figures(str(number)))
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert "5.json" in names
    assert len(names) == 3


def test_without_a_disk_that_takes_them_grading_goes_on(root, tree, counted, monkeypatch, tmp_path):
    """Nothing is kept then, and nothing else is different."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cache, "find_measurement_cache_folder", lambda: tmp_path / "file" / "kept")
    for _ in range(2):
        result = grade_milestone(root, 1, submission=tree)
        assert {c.status for c in result.criteria} == {CriterionStatus.PASSED}
    assert counted["xor"] == 2


def test_student_code_reaches_no_kept_figures(worker_of, sandbox, tmp_path):
    """In a sandbox it can neither read what is kept nor write something that would be taken for it."""
    if sandbox == "process":
        pytest.skip("a plain process is no sandbox, which is why official grading refuses one")
    cache.save_measurement(make_kept_figures())
    file = tmp_path / "kept" / "k.json"
    before = file.read_bytes()
    worker = worker_of(
        "import os\n"
        "def attempt(folder):\n"
        "    done = []\n"
        "    for name, act in (\n"
        "        ('list', lambda: os.listdir(folder)),\n"
        "        ('read', lambda: open(folder + '/k.json').read()),\n"
        "        ('write', lambda: open(folder + '/k.json', 'w').write('{}')),\n"
        "        ('add', lambda: open(folder + '/new.json', 'w').write('{}')),\n"
        "        ('remove', lambda: os.remove(folder + '/k.json')),\n"
        "        ('replace', lambda: os.rename(folder, folder + '-gone')),\n"
        "    ):\n"
        "        try:\n"
        "            act()\n"
        "            done.append(name)\n"
        "        except OSError:\n"
        "            pass\n"
        "    return done\n"
    )
    assert worker.module("code").attempt(str(file.parent)) == []
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["k.json"]
