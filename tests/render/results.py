"""Result records for the tests of what is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from grading.manifest.model import CriterionKind, Unit
from grading.result import (
    CourseRecord,
    CriterionResult,
    CriterionStatus,
    Curve,
    Failure,
    FileRecord,
    MachineRecord,
    Result,
    SubmissionRecord,
    Timing,
    Verdict,
)


def build_criterion(status: str = "passed", measured: float | None = 1.0, **changes: Any) -> CriterionResult:
    """Build a criterion: by default the share of module tests that pass."""
    fields: dict[str, Any] = {
        "kind": CriterionKind.CODE_QUALITY,
        "name": "module-tests",
        "title": "The tests of modules 01 to 04 pass",
        "threshold": 1.0,
        "comparison": "at_least",
        "unit": Unit.FRACTION,
        "why": "A network can be no better than its parts.",
    }
    return CriterionResult(status=CriterionStatus(status), measured=measured, **{**fields, **changes})


def build_failure(**changes: Any) -> Failure:
    """Build a failed test of module 02."""
    fields: dict[str, Any] = {
        "task": "2.3",
        "title": "A row is added to every row of a matrix",
        "call": "Tensor([[1, 2], [3, 4]]) + Tensor([10, 20])",
        "got": "[[11, 12], [3, 4]]",
        "expected": "[[11, 22], [13, 24]]",
        "hint": "NumPy broadcasts when you let it add whole arrays.",
        "file": "modules/02_tensor/tinytorch/tensor.py",
        "line": 41,
        "test": "modules/02_tensor/test_tensor.py::test_rows_are_added",
    }
    return Failure(**{**fields, **changes})


def build_loss_criterion(status: str = "passed", measured: float | None = 0.0417, **changes: Any) -> CriterionResult:
    """Build a criterion with an upper bound."""
    fields: dict[str, Any] = {
        "kind": CriterionKind.PERFORMANCE,
        "name": "loss",
        "title": "The loss after training is small",
        "threshold": 0.05,
        "comparison": "at_most",
        "unit": Unit.LOSS,
    }
    return build_criterion(status, measured, **{**fields, **changes})


def build_result(*criteria: CriterionResult, **changes: Any) -> Result:
    """Build a result, by default an unlocked milestone 1."""
    fields: dict[str, Any] = {
        "milestone": 1,
        "name": "Basic Inference",
        "medal": "Neural Architect",
        "verdict": Verdict.UNLOCKED,
        "criteria": criteria or (build_criterion(), build_loss_criterion()),
        "seed": 42,
        "official": False,
        "started_at": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        "key": "k" * 64,
        "reproduce": "nox -s milestone-1 -- --seed 42",
        "submission": SubmissionRecord(
            digest="d" * 64,
            files=(FileRecord(path="modules/02_tensor/tinytorch/tensor.py", sha256="a" * 64, size=900),),
        ),
        "course": CourseRecord(name="TinyTorch", version="0.1.0", digest="c" * 64),
        "machine": MachineRecord(
            system="Linux", processor="x86_64", cores=2, python="3.12.1", packages={"numpy": "2.1"}, sandbox="process"
        ),
        "curves": (Curve(name="loss", seed=3, steps=(0.0, 50.0, 100.0), values=(0.7, 0.3, 0.01)),),
        "timing": Timing(total=4.2, student=2.9, grader=1.3),
    }
    return Result(**{**fields, **changes})


def build_not_yet(**changes: Any) -> Result:
    """Build milestone 1 with a failed module test and training not attempted."""
    later = "Not attempted: fix the module tests first."
    return build_result(
        build_criterion(
            "failed", 0.9, failures=(build_failure(), build_failure(task="3.1", title="ReLU keeps positive numbers"))
        ),
        build_loss_criterion("not_attempted", None, explanation=later),
        **{"verdict": Verdict.NOT_YET, "curves": (), **changes},
    )
