"""Convergence as the grader measures it, on its own curve: few images of one colour each, tests taken as passed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grading import cache, grade
from grading.checks import cifar10_convergence
from grading.checks.cifar10_convergence import measure_late_loss_fall
from grading.data.dataset import DataSet
from grading.grade import grade_milestone
from grading.manifest.loader import load_manifest
from grading.result import CriterionStatus, Result, Verdict
from grading.sandbox.launch import choose_fence
from tests.submissions.build import Miniature, build_submission
from tests.submissions.partial import change_experiment, make_passing_check

RECIPE = "modules/11_training/recipe.py"
EPOCHS = "    epochs = min(20, max(6, 300_000 // len(images)))"
TENTHS = tuple(step / 10 for step in range(11))


def make_colour_images(train: int, test: int) -> DataSet:
    """Draw noise in ten colours: an easy task that a network learns in a few steps, even with every image rotated."""
    rng = np.random.default_rng(1)
    palette = np.array([(r, g, b) for r in (60, 130, 200) for g in (60, 200) for b in (60, 200)][:10])
    targets = rng.permutation(np.arange(train + test) % 10)
    noise = rng.integers(-40, 41, (len(targets), 3, 32, 32))
    images = (palette[targets][:, :, None, None] + noise).astype(np.uint8)
    return DataSet(
        "colours",
        images[:train],
        targets[:train],
        images[train:],
        targets[train:],
        digest="0" * 64,
        stand_in_for="cifar10",
    )


@pytest.fixture
def grade_edited_recipe(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Provide a function that grades milestone 3 on a number of images, with edits of the solution's recipe."""

    def grade_it(images: int, *edits: dict[str, Any], official: bool = False) -> Result:
        """Grade the edited solution on this number of training images. The cheap checks pass unmeasured."""
        data = make_colour_images(images, 200)
        monkeypatch.setattr(grade, "load_manifest", grade.load_manifest)  # restored after the next line
        change_experiment({"probe_images": 100})
        monkeypatch.setattr(cifar10_convergence, "load_or_fetch_images", lambda *_: data)
        monkeypatch.setattr(cache, "find_measurement_cache_folder", lambda: tmp_path / "cache")
        for check in ("module_tests", "integration_tests", "demo"):
            monkeypatch.setitem(grade.CHECKS, check, make_passing_check(check))
        miniature = Miniature(tmp_path, {"from": "solution", "edits": [{"file": RECIPE} | edit for edit in edits]})
        tree = build_submission(miniature, root, load_manifest(root), tmp_path / "tree")
        return grade_milestone(root, 3, submission=tree, seed=7, official=official)

    return grade_it


def map_figures_by_criterion(result: Result) -> dict[str, float | None]:
    """Map the names of the criteria to their measured figures."""
    return {c.name: c.measured for c in result.criteria}


def list_failed_criteria(result: Result) -> set[str]:
    """List the names of the criteria that are not met."""
    assert not any(c.status is CriterionStatus.ERROR for c in result.criteria)
    assert all(c.failures for c in result.criteria if c.status is CriterionStatus.FAILED)
    return {c.name for c in result.criteria if c.status is CriterionStatus.FAILED}


def test_the_solution_converges(grade_edited_recipe: Callable[..., Result]) -> None:
    """It unlocks, provisionally; curve and figures are in the record, and say the same."""
    result = grade_edited_recipe(600)
    assert result.verdict is Verdict.PROVISIONAL, list_failed_criteria(result)
    assert result.provisional_because == ("colours was used instead of cifar10",)
    loss = next(curve for curve in result.curves if curve.name == "loss")
    assert len(loss.values) >= 30
    assert map_figures_by_criterion(result)["loss_ratio"] == pytest.approx(
        loss.values[-1] / loss.values[0], rel=1e-3, abs=1e-4
    )
    confusions, filters = result.pictures
    assert confusions.labels == make_colour_images(10, 10).classes
    right = sum(confusions.values[:: len(confusions.labels) + 1])
    assert right / sum(confusions.values) == pytest.approx(map_figures_by_criterion(result)["accuracy"])
    assert (filters.name, filters.shape[1]) == ("filters", 3)


def test_without_training_nothing_falls(grade_edited_recipe: Callable[..., Result]) -> None:
    """Claimed steps and losses are ignored: accuracy, loss and curve are the grader's."""
    lie = "    for step in range(1, 101):\n        progress(step, 100, 0.1, 0.9)\n    return\n" + EPOCHS
    assert list_failed_criteria(grade_edited_recipe(300, {"find": EPOCHS, "replace": lie})) >= {
        "accuracy",
        "loss_ratio",
        "late_fall",
    }


def test_a_curve_that_ends_early_is_no_proof(grade_edited_recipe: Callable[..., Result]) -> None:
    """If a recipe reports nothing in the last tenth of training, the failure asks for reports."""
    silent = {"find": "if step % max(1, steps // 50) == 0 or step == steps:", "replace": "if step < steps // 2:"}
    result = grade_edited_recipe(300, silent, {"find": EPOCHS, "replace": "    epochs = 4"})
    assert "late_fall" in list_failed_criteria(result)
    told = next(c for c in result.criteria if c.name == "late_fall").failures[0]
    assert "call progress" in told.got


def test_official_gradings_train_from_two_seeds(grade_edited_recipe: Callable[..., Result]) -> None:
    """Each seed has its curves, and both seeds are named."""
    if choose_fence(official=False) == "process":
        pytest.skip("official grading needs a sandbox")
    result = grade_edited_recipe(300, {"find": EPOCHS, "replace": "    epochs = 2"}, official=True)
    seeds = {curve.seed for curve in result.curves}
    assert len(seeds) == 2
    how = next(c.how for c in result.criteria if c.name == "accuracy")
    assert all(str(seed) in how for seed in seeds)


def test_late_fall_is_the_part_that_comes_last() -> None:
    """A fall that is done at four fifths leaves nothing, and a straight line leaves two tenths and more."""
    assert measure_late_loss_fall(TENTHS, (2.0, *[1.0] * 10)) == 0
    straight = tuple(2 - step for step in TENTHS)
    assert measure_late_loss_fall(TENTHS, straight) == pytest.approx((1.25 - 1.05) / (2 - 1.05))
    assert measure_late_loss_fall(TENTHS, (2.0, *[0.5] * 8, 1.0, 1.0)) == 0


def test_late_fall_is_unknown_without_measurements_or_a_fall() -> None:
    """A curve that stops halfway has no late fall, nor does one that rises."""
    assert measure_late_loss_fall(TENTHS[:6], (2.0, 1.5, 1.2, 1.1, 1.0, 1.0)) is None
    assert measure_late_loss_fall(TENTHS, tuple(2 + step for step in TENTHS)) is None
