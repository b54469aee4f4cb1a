"""Comparing ops with PyTorch's finds differences, names failures, and shows that the solution agrees with PyTorch."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grading.compare import case_comparison, compare_module
from grading.compare.case_builders import build_layer_case, make_normal_drawer
from grading.compare.case_comparison import GRADIENT_PREFIX, Comparison, ComparisonCase, build_local_side, compare_case
from grading.errors import GraderError, UsageError
from grading.manifest.loader import load_manifest
from grading.remote import RemoteError, WorkerDiedError
from grading.render.progress_watch import SilentWatch
from grading.testing.plugin import DirectStudent
from grading.testing.students import WorkerStudent

has_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")


@pytest.fixture(autouse=True)
def _few_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time only a few turns, as the times are not tested."""
    monkeypatch.setattr(case_comparison, "TURNS", 1)
    monkeypatch.setattr(case_comparison, "MAX_CALLS", 1)


@pytest.fixture(scope="module")
def student(root: Path) -> Iterator[WorkerStudent]:
    """Start one worker with the solution of every module, and provide it as a student."""
    manifest = load_manifest(root)
    with compare_module.start_student_worker(root, manifest, manifest.modules[-1]) as found:
        yield found


def build_self_case(
    case: ComparisonCase, change: Callable[[dict[str, np.ndarray]], object] = lambda _arrays: None
) -> ComparisonCase:
    """Build the case with the student's own arrays, possibly changed, as its counterpart."""
    found: dict[str, np.ndarray] = {}

    def prepare_ours(student: Any, arrays: Any) -> case_comparison.CaseSide:
        """Prepare the student's side, and keep its arrays."""
        work = case.ours(student, arrays)
        return replace(work, compute=lambda: found)

    def prepare_theirs(student: Any, arrays: Any) -> case_comparison.CaseSide:
        """Return the changed arrays."""
        found.update(case.ours(student, arrays).compute())
        changed = {name: values.copy() for name, values in found.items()}
        change(changed)
        return build_local_side(lambda: changed, lambda: None)

    return replace(case, ours=prepare_ours, theirs=prepare_theirs)


def compare_with_change(
    case: ComparisonCase, student: Any, change: Callable[[dict[str, np.ndarray]], object]
) -> Comparison:
    """Compare a case with its own arrays, changed."""
    return compare_case(build_self_case(case, change), student, student, np.random.default_rng(1))


DENSE = compare_module.CASES_BY_MODULE["04_layers"]()[0]


@pytest.mark.parametrize("module", compare_module.CASES_BY_MODULE)
def test_every_case_computes_the_same_from_the_same_inputs(module, student):
    """Each gives arrays of numbers twice over, the gradients included, and seconds that the worker has measured."""
    for case in compare_module.CASES_BY_MODULE[module]():
        found = compare_case(build_self_case(case), student, student, np.random.default_rng(7))
        assert found.problem is None, f"{case.name}: {found.problem}"
        assert (found.difference, found.gradient_difference or 0, found.same) == (0, 0, True), case.name
        assert found.seconds > 0


def test_every_module_with_ops_has_cases(root):
    """Those without hold nothing that PyTorch has: benchmarks and operations."""
    without = {module.id for module in load_manifest(root).modules} - compare_module.CASES_BY_MODULE.keys()
    assert without == {"14_benchmarking", "15_mlops"}
    for cases in compare_module.CASES_BY_MODULE.values():
        names = [(case.name, case.size) for case in cases()]
        assert len(set(names)) == len(names)


def test_a_wrong_value_and_a_wrong_gradient_are_told_apart(student):
    """The largest difference of each has its own column."""

    def shift(name: str) -> Callable[[dict[str, np.ndarray]], object]:
        return lambda arrays: arrays[name].__setitem__(0, arrays[name][0] + 0.5)

    wrong = compare_with_change(DENSE, student, shift("the output"))
    assert (wrong.difference, wrong.gradient_difference, wrong.same) == (pytest.approx(0.5, rel=1e-4), 0, False)
    wrong = compare_with_change(DENSE, student, shift(f"{GRADIENT_PREFIX}weight"))
    assert (wrong.difference, wrong.gradient_difference, wrong.same) == (0, pytest.approx(0.5, rel=1e-4), False)


def test_rounding_is_no_difference(student):
    """float32 adds up in another order elsewhere: what counts is a share of the largest number."""
    nearly = compare_with_change(DENSE, student, lambda arrays: arrays["the output"].__imul__(np.float32(1 + 1e-5)))
    assert nearly.same
    assert nearly.difference > 0


def test_other_shapes_and_numbers_that_are_none_are_named(student):
    """A difference of them would say nothing."""
    other = compare_with_change(DENSE, student, lambda arrays: arrays.update({"the output": np.zeros((2, 3))}))
    assert other.problem == "the output has shape (128, 128), but PyTorch's has shape (2, 3)"
    odd = compare_with_change(DENSE, student, lambda arrays: arrays["the output"].__setitem__((0, 0), np.nan))
    assert odd.problem == "the output is NaN or infinite, but PyTorch's is not"
    assert not odd.same


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RemoteError("NotImplementedError", "Task 4.3: …", ()), "not written yet: Task 4.3: …"),
        (RemoteError("ValueError", "\x1b[31mshapes\n differ", ()), "ValueError: shapes differ"),
        (WorkerDiedError("your code ended the program"), "your code ended the program"),
        (AttributeError("no weight"), "AttributeError: no weight"),
    ],
)
def test_what_stops_the_students_side_is_told(student, error, told):
    """A gap by its task, an exception by its kind; the other ops are compared all the same."""

    def stop(*_: object) -> case_comparison.CaseSide:
        raise error

    found = compare_case(replace(build_self_case(DENSE), ours=stop), student, student, np.random.default_rng(1))
    assert (found.problem, found.same, found.seconds) == (told, False, None)


def test_a_missing_gradient_is_named(student):
    """As it is for a parameter that backward has forgotten."""

    def forget(arrays: dict[str, Any]) -> None:
        arrays["gradient of extra"] = np.zeros(1)

    case = build_self_case(DENSE, forget)
    ours = case.ours

    def without(student: Any, arrays: Any) -> case_comparison.CaseSide:
        """Prepare the student's side, where one gradient is None."""
        work = ours(student, arrays)
        return replace(work, compute=lambda: {**work.compute(), "gradient of extra": None})

    found = compare_case(replace(case, ours=without), student, student, np.random.default_rng(1))
    assert found.problem == "gradient of extra is not an array of numbers"


def test_the_machines_failure_is_nobodys_op(student):
    """A worker that cannot be started ends the command, and is not reported as an op's problem."""

    def stop(*_: object) -> case_comparison.CaseSide:
        raise GraderError("no process")

    with pytest.raises(GraderError, match="no process"):
        compare_case(replace(build_self_case(DENSE), ours=stop), student, student, np.random.default_rng(1))


def test_an_op_that_pytorch_no_longer_has_is_told(student):
    """Its versions differ; what it still has can be compared."""

    def stop(*_: object) -> case_comparison.CaseSide:
        raise AttributeError("module 'torch' has no attribute 'fake'")

    found = compare_case(replace(DENSE, theirs=stop), student, None, np.random.default_rng(1))
    assert found.problem == "PyTorch's side failed: module 'torch' has no attribute 'fake'"


def test_draws_follow_from_the_seed():
    """The same seed gives the same inputs, another others."""
    first, again, other = (DENSE.draw(np.random.default_rng([seed, 0])) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


@pytest.mark.usefixtures("solutions")
def test_a_gap_stops_only_its_own_op(root, monkeypatch):
    """It names its own task, and the others are compared."""
    direct = DirectStudent(root, lambda: Path())

    def gap(*_: object, **__: object) -> Any:
        raise NotImplementedError("Task 3.1: compare with 0")

    monkeypatch.setattr(direct.activations, "relu", replace(direct.activations.relu, forward=gap))
    relu, leaky, *_ = (build_self_case(case) for case in compare_module.CASES_BY_MODULE["03_activations"]())
    assert compare_case(leaky, direct, direct, np.random.default_rng(1)).problem is None
    plain = replace(relu, ours=compare_module.CASES_BY_MODULE["03_activations"]()[0].ours, theirs=leaky.theirs)
    found = compare_case(plain, direct, direct, np.random.default_rng(1))
    assert found.problem == "not written yet: Task 3.1: compare with 0"


def test_a_module_without_a_counterpart_says_so(root):
    """It names those that have one."""
    with pytest.raises(UsageError, match=r"15_mlops has no counterpart in PyTorch.*02, 03"):
        compare_module.compare_module(root, "15_mlops", seed=1, watch=SilentWatch())


def test_without_pytorch_the_command_that_installs_it_is_given(root, monkeypatch):
    """PyTorch is not a dependency of the course."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"pip install torch --index-url https://download\.pytorch\.org/whl/cpu"):
        compare_module.compare_module(root, "04_layers", seed=1, watch=SilentWatch())


def test_a_pytorch_that_cannot_be_loaded_is_told(tmp_path, monkeypatch):
    """A library of its own may be missing: that is nobody's op, and no traceback."""
    (tmp_path / "torch.py").write_text("raise OSError('libtorch.so: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(UsageError, match=r"cannot be loaded: libtorch\.so: cannot open .* pip install torch"):
        case_comparison.import_pytorch()


@has_torch
@pytest.mark.parametrize("module", compare_module.CASES_BY_MODULE)
def test_the_solution_computes_what_pytorch_does(module, student):
    """Values and gradients of every case."""
    torch = case_comparison.import_pytorch()
    with compare_module.limit_to_one_thread(torch):
        for found in compare_module.compare_cases(
            compare_module.CASES_BY_MODULE[module](), student, torch, 3, SilentWatch()
        ):
            assert found.problem is None, f"{found.name}: {found.problem}"
            assert found.same, found


@has_torch
def test_a_wrong_layer_differs_from_pytorchs(student):
    """A layer with a different slope is found."""
    torch = case_comparison.import_pytorch()
    wrong = build_layer_case(
        "LeakyReLU", "64×64", lambda student: student.activations.LeakyReLU(0.02),
        lambda torch: torch.nn.LeakyReLU(0.01), x=make_normal_drawer(64, 64), grad=make_normal_drawer(64, 64),
    )  # fmt: skip
    found = compare_case(wrong, student, torch, np.random.default_rng(2))
    assert not found.same
    assert found.difference > 0.01
    assert found.gradient_difference > 0.005
