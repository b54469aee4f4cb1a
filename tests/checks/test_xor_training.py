"""The victory condition alone: recipes that the module tests would already stop earn nothing here either."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading import cache, grade
from grading.grade import grade_milestone
from grading.manifest.loader import load_manifest
from grading.manifest.model import CriterionKind
from grading.result import CriterionStatus, Verdict
from tests.submissions.build import build_submission, list_miniatures
from tests.submissions.partial import change_experiment, make_passing_check

ATTACKS = {
    "hostile/smuggled_weights": "fresh_loss",
    "hostile/lying_progress": "accuracy",
    "wrong/linear_network": "accuracy",
}
"""What the tests of the code stop already when it is graded whole; tests/test_miniatures.py grades more like these."""


@pytest.mark.parametrize("name", ATTACKS)
def test_the_measurement_itself_stops_it(name, root, tmp_path, monkeypatch):
    """With all tests of the code taken as passed, the figures still say not yet, from as few seeds as they may."""
    monkeypatch.setattr(grade, "load_manifest", grade.load_manifest)  # restored after the next line
    change_experiment({"seeds": 2})
    monkeypatch.setattr(cache, "find_measurement_cache_folder", lambda: tmp_path / "cache")
    for check in ("module_tests", "integration_tests", "demo"):
        monkeypatch.setitem(grade.CHECKS, check, make_passing_check(check))
    (miniature,) = [m for m in list_miniatures(name.partition("/")[0]) if m.name == name]
    tree = build_submission(miniature, root, load_manifest(root), tmp_path / "tree")
    result = grade_milestone(root, 1, submission=tree, seed=11)
    assert result.verdict is Verdict.NOT_YET
    failed = [c.name for c in result.criteria if c.status is CriterionStatus.FAILED]
    assert ATTACKS[name] in failed
    assert not any(c.status is CriterionStatus.ERROR for c in result.criteria)
    assert all(c.failures for c in result.criteria if c.status is CriterionStatus.FAILED)
    assert any(c.kind is CriterionKind.PERFORMANCE for c in result.criteria if c.status is CriterionStatus.FAILED)


def test_the_solution_passes_at_many_seeds(root, tmp_path, monkeypatch):
    """The reference does not depend on luck: other seeds give the same verdict as the one of tests/test_grade.py."""
    monkeypatch.setattr(cache, "find_measurement_cache_folder", lambda: Path(tmp_path))
    for check in ("module_tests", "integration_tests", "demo"):
        monkeypatch.setitem(grade.CHECKS, check, make_passing_check(check))
    for seed in (101, 202):
        assert grade_milestone(root, 1, seed=seed).verdict is Verdict.UNLOCKED
