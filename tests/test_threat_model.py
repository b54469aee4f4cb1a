"""docs/threat-model.md names every line of the threats, every hostile submission, and only tests that exist."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.submissions.build import list_miniatures
from tests.submissions.threats import SUBMITTED

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/threat-model.md").read_text("utf-8")


def read_attack_rows() -> dict[str, list[str]]:
    """Map each attack in the page's tables to the tests that cover it."""
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if len(cells) == 4 and "`" in cells[3]:
            found[cells[0].strip("`")] = re.findall(r"`([^`]+)`", cells[3])
    return found


def test_every_line_names_its_submissions_and_no_others():
    """A new submission must be written into the page, in the row of its line."""
    expected = defaultdict(set)
    for miniature in list_miniatures("hostile"):
        expected[miniature.about["threat"]].add(miniature.name)
    named = {
        line: {name for name in tests if name.startswith("hostile/")} for line, tests in read_attack_rows().items()
    }
    assert {line: names for line, names in named.items() if names} == expected
    assert set(SUBMITTED) == set(expected)


@pytest.mark.parametrize("line", sorted(read_attack_rows()))
def test_what_a_line_is_tested_by_exists(line):
    """Each is a submission, or a function of a file of tests."""
    tests = read_attack_rows()[line]
    assert len(tests) >= (1 if line not in SUBMITTED else 2)
    for test in tests:
        if test.startswith("hostile/"):
            assert (ROOT / "tests/submissions" / test / "about.yaml").is_file(), test
            continue
        file, _, function = test.partition("::")
        assert (ROOT / file).is_file(), test
        assert function in list_functions(ROOT / file), test


def test_every_test_the_page_names_stands_in_a_row_or_exists():
    """So does every test that is named elsewhere on the page."""
    for file, function in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE):
        assert function in list_functions(ROOT / file), f"{file}::{function}"


def list_functions(file: Path) -> set[str]:
    """Return the names of a file's functions."""
    return {node.name for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}
