"""The victory condition alone: recipes that the module tests would already stop earn nothing here either."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading import cache, grade
from grading.checks.measured import Measured
from grading.grade import grade_milestone
from grading.manifest.load import load
from grading.manifest.model import Kind
from grading.result import CriterionStatus, Verdict
from tests.submissions.build import build, miniatures

ATTACKS = {
    "hostile/exit_with_success_past_the_audit": "accuracy",
    "hostile/forged_reply_from_the_recipe": "accuracy",
    "hostile/hard_coded_xor": "fresh_loss",
    "hostile/smuggled_weights": "fresh_loss",
    "hostile/memorised_table": "depends_on_weights",
    "hostile/one_class_only": "accuracy",
    "hostile/lying_progress": "accuracy",
    "hostile/one_seed_only": "accuracy",
    "hostile/nan_predictions": "accuracy",
    "hostile/subclassed_arrays": "accuracy",
    "wrong/linear_network": "accuracy",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_the_measurement_itself_stops_it(name, root, tmp_path, monkeypatch):
    """With all tests of the code taken as passed, the figures still say not yet."""
    monkeypatch.setattr(cache, "folder", lambda: tmp_path / "cache")
    passed = lambda _context: Measured({"passed": 1.0}, how="taken as passed")  # noqa: E731
    monkeypatch.setitem(grade.CHECKS, "module_tests", passed)
    monkeypatch.setitem(grade.CHECKS, "integration_tests", passed)
    (miniature,) = [m for m in miniatures(name.partition("/")[0]) if m.name == name]
    tree = build(miniature, root, load(root), tmp_path / "tree")
    result = grade_milestone(root, 1, submission=tree, seed=11)
    assert result.verdict is Verdict.NOT_YET
    failed = [c.name for c in result.criteria if c.status is CriterionStatus.FAILED]
    assert ATTACKS[name] in failed
    assert not any(c.status is CriterionStatus.ERROR for c in result.criteria)
    assert all(c.failures for c in result.criteria if c.status is CriterionStatus.FAILED)
    assert any(c.kind is Kind.PERFORMANCE for c in result.criteria if c.status is CriterionStatus.FAILED)


def test_the_solution_passes_at_many_seeds(root, tmp_path, monkeypatch):
    """The reference is no matter of luck: other seeds, same verdict."""
    monkeypatch.setattr(cache, "folder", lambda: Path(tmp_path))
    passed = lambda _context: Measured({"passed": 1.0}, how="taken as passed")  # noqa: E731
    monkeypatch.setitem(grade.CHECKS, "module_tests", passed)
    monkeypatch.setitem(grade.CHECKS, "integration_tests", passed)
    for seed in (101, 202, 303):
        assert grade_milestone(root, 1, seed=seed).verdict is Verdict.UNLOCKED
