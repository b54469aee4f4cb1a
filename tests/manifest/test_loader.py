"""Reading a manifest that is missing, not YAML or not plain, and the cost of reading."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.manifest.loader import load_manifest
from grading.manifest.problems import ManifestError

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "milestones.yaml").read_text(encoding="utf-8")


def load_problems(text, folder):
    """Return the problems of a manifest with this text."""
    (folder / "milestones.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)
    return caught.value.problems


def test_a_syntax_error_names_line_column_and_text(tmp_path):
    """YAML that cannot be read is answered with the line, the column and the line's text."""
    text = TEXT.replace("    trigger: 04_layers", "    trigger: [04_layers: {")
    line = text[: text.index("[04_layers: {")].count("\n") + 1
    (problem,) = load_problems(text, tmp_path)
    assert line <= problem.line <= line + 2
    assert re.search(r"not valid YAML at column \d+: .*The line is: \w", problem.message)
    assert "indentation" in problem.repair


@pytest.mark.parametrize("text", ["", "- a\n", "course\n", "course: {", "\x00", "a: &x [*x]", "? {a: b}\n: c\n"])
def test_what_is_no_manifest_at_all_is_a_problem_and_no_crash(text, tmp_path):
    """Empty, broken and foreign YAML raises ManifestError with at least one problem."""
    assert load_problems(text, tmp_path)


@pytest.mark.parametrize("text", ["[" * 5000, "a: " + "{a: " * 5000])
def test_deep_nesting_is_refused(text, tmp_path):
    """Thousands of brackets are a problem, not a RecursionError."""
    assert load_problems(text, tmp_path)


PIECES = [
    "\n",
    "  ",
    "- ",
    ": ",
    '"',
    "'",
    "[",
    "}",
    "&a ",
    "*a",
    "!!x ",
    "1e999",
    '"\\ud800"',
    "\0",
    "|",
    "\t",
    "? ",
    "---\n",
]


@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 30), st.sampled_from(["", *PIECES])), min_size=1))
@settings(max_examples=150, deadline=None)
def test_a_damaged_manifest_is_read_or_answered(edits):
    """However the text is damaged, load() gives a manifest or problems with a line of the file."""
    text = TEXT
    for at, cut, piece in edits:
        text = text[:at] + piece + text[at + cut :]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "milestones.yaml").write_text(text, encoding="utf-8")
        try:
            problems = () if load_manifest(Path(folder)).modules else None
        except ManifestError as error:
            problems = error.problems or None
    assert problems is not None
    assert all(1 <= p.line <= text.count("\n") + 2 for p in problems)


def test_every_problem_is_told_at_once_in_the_order_of_the_file(tmp_path):
    """Two mistakes give two lines, the upper one first, each in the form file:line: message repair."""
    text = TEXT.replace("at_least: 0.95", "at_least: 95").replace("    trigger: 04_layers\n", "")
    problems = load_problems(text, tmp_path)
    with pytest.raises(ManifestError) as caught:
        load_manifest(tmp_path)
    assert [p.line for p in problems] == sorted(p.line for p in problems)
    assert len(problems) >= 2
    for line in str(caught.value).splitlines():
        assert re.fullmatch(r"milestones\.yaml:\d+: .+\. .+", line)


def test_a_missing_manifest_names_the_folder(tmp_path):
    """Without milestones.yaml the message names the folder and what to do."""
    with pytest.raises(ManifestError, match=re.escape(str(tmp_path))) as caught:
        load_manifest(tmp_path)
    assert "course repository" in str(caught.value)


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path):
    """A byte that is not UTF-8 is reported on its line."""
    (tmp_path / "milestones.yaml").write_bytes(b"course:\n  name: caf\xe9\n")
    with pytest.raises(ManifestError, match=r"milestones\.yaml:2: not UTF-8"):
        load_manifest(tmp_path)


def test_loading_gives_the_same_manifest_each_time():
    """Two readings are equal, field by field."""
    assert load_manifest(ROOT) == load_manifest(ROOT)


def test_loading_needs_no_numpy_jinja_or_pytest():
    """Reading the manifest imports nothing slow, so that the command line answers immediately."""
    code = (
        "import sys, pathlib; from grading.manifest.loader import load_manifest; load_manifest(pathlib.Path('.'));"
        "print(sorted({'numpy', 'jinja2', 'pytest', 'typer', 'rich'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
