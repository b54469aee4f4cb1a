"""Other right implementations of single modules pass those modules' tests, whatever they look like inside."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading.grade import grade_module
from grading.manifest.loader import load_manifest
from grading.result import Verdict
from tests.submissions.build import Miniature, build_submission, list_miniatures

ROOT = Path(__file__).resolve().parents[1]
CASES = [(miniature, module) for miniature in list_miniatures("right_modules") for module in miniature.about["modules"]]


@pytest.mark.parametrize(("miniature", "module"), CASES, ids=[f"{m.folder.name} {module}" for m, module in CASES])
def test_another_implementation_of_a_module_passes(tmp_path: Path, miniature: Miniature, module: str) -> None:
    """Every test accepts it, through the worker."""
    tree = build_submission(miniature, ROOT, load_manifest(ROOT), tmp_path)
    result = grade_module(ROOT, module, submission=tree, seed=1)
    failures = [f"{f.test}: {f.got}" for criterion in result.criteria for f in criterion.failures]
    assert result.verdict is Verdict.UNLOCKED, failures
