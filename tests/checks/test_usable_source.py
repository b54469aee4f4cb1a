"""What may be in a student's file: code and explanations in any language, and no stored data in any spelling."""

from __future__ import annotations

import ast
import lzma
from pathlib import Path

import pytest

from course.skeleton import make_skeleton
from grading.checks.usable_source import find_files_with_stored_data, measure_compressed_size
from grading.criteria import list_criteria
from grading.manifest.loader import load_manifest
from grading.manifest.model import Budget, BuildStatus
from grading.submission import list_source_files
from tests.submissions.stored import SPELLINGS, random_data, spell_data

BUDGET = Budget(wall_seconds=1, call_seconds=1, train_seconds=1, memory_mb=64)
LIMIT = BUDGET.module_bytes
DATA = random_data(28_000)
"""As much as the smallest attack stored that is known to have paid."""


def find_data_in_texts(*texts: str, bound: int = LIMIT, average: int | None = None):
    """List the failures for files with these texts."""
    named = {f"{number}.py": text for number, text in enumerate(texts)}
    return list(find_files_with_stored_data(named, dict.fromkeys(named, bound), average))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_data_is_found_however_it_is_spelled(spelling):
    """Every spelling of 28 KB of data takes 28 KB, and the failure says how much and how much may be."""
    text = spell_data(DATA, spelling)
    (failure,) = find_data_in_texts(text)
    assert failure.title == "The file holds code and no stored data"
    assert f"{measure_compressed_size(text):,} bytes" in failure.got
    assert measure_compressed_size(text) >= len(DATA)
    assert f"{LIMIT:,} bytes" in failure.expected
    assert failure.file == "0.py"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_each_spelling_is_python(spelling):
    """Otherwise it would be refused for that."""
    exec(compile(ast.parse(spell_data(DATA[:600], spelling)), "spelled", "exec"), {})  # noqa: S102 - it is our own


def test_data_in_many_small_parts_is_found(root):
    """28 KB among the code of milestone 2: no file is too large, and all together are."""
    found = read_course_texts(root)
    manifest = load_manifest(root)
    paths = [f.path for f in list_source_files(manifest, manifest.list_modules_up_to(manifest.milestone(2)))]
    each = len(DATA) // len(paths)
    parts = [found[path][0] + f"W = {DATA[i * each :][:each].hex()!r}\n" for i, path in enumerate(paths)]
    assert find_data_in_texts(*parts) == []
    (failure,) = find_data_in_texts(*parts, average=BUDGET.average_bytes)
    assert failure.title == "All files together hold code and no stored data"
    assert "8 files" in failure.got
    assert "44,000 bytes" in failure.expected


def read_course_texts(root: Path) -> dict[Path, tuple[str, str, int]]:
    """Read the solution, the skeleton and the bound of each of the course's own files."""
    manifest = load_manifest(root)
    files = list_source_files(manifest, [m for m in manifest.modules if m.status is BuildStatus.BUILT])
    texts = {f.path: (root / f.path).read_text("utf-8") for f in files}
    bounds = {f.path: BUDGET.module_bytes for f in files}
    bounds |= {milestone.recipe: milestone.budget.recipe_bytes for milestone in manifest.milestones}
    return {path: (text, make_skeleton(text, manifest, path), bounds[path]) for path, text in texts.items()}


def test_twice_the_courses_own_files_would_be_within_the_bounds(root):
    """Each alone, and all of each milestone together."""
    found = read_course_texts(root)
    for path, (solution, opened, bound) in found.items():
        assert 2 * measure_compressed_size(solution) < bound, path
        assert 2 * measure_compressed_size(opened) < bound, path
    manifest = load_manifest(root)
    for milestone in (m for m in manifest.milestones if m.status is BuildStatus.BUILT):
        paths = [f.path for f in list_source_files(manifest, manifest.list_modules_up_to(milestone))]
        together = measure_compressed_size("".join(found[path][0] for path in paths))
        assert 2 * together < milestone.budget.average_bytes * len(paths), milestone.id


def test_every_second_line_may_be_a_comment(root):
    """Somebody who explains each line in a sentence of its own stays below every bound."""
    pages = [root / "README.md", *sorted((root / "docs/architecture").iterdir())]
    words = [word for page in pages for word in page.read_text("utf-8").split()]
    for path, (solution, _, bound) in read_course_texts(root).items():
        lines = []
        for number, line in enumerate(solution.splitlines()):
            lines += [f"# {' '.join(words[number * 9 : number * 9 + 9])}", line]
        assert measure_compressed_size("\n".join(lines)) < bound, path


def test_what_the_bounds_are_is_in_every_milestone(root):
    """Nobody widens one of them without saying so here."""
    widened = {4: (16_000, 8_000, 6_000), 5: (16_000, 6_000, 6_000)}
    for milestone in load_manifest(root).milestones:
        budget, expected = milestone.budget, widened.get(milestone.id, (16_000, 6_000, 5_500))
        assert (budget.module_bytes, budget.recipe_bytes, budget.average_bytes) == expected
        assert "source" in [c.check for c in list_criteria(load_manifest(root), milestone.id)]


def test_the_measure_is_what_lzma_makes_of_the_file():
    """So that anybody can measure it."""
    assert measure_compressed_size("x = 1\n") == len(lzma.compress(b"x = 1\n"))
