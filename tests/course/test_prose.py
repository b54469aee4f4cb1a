"""The word list finds unwanted words only in prose and messages, and states the place and what to write instead."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from course.prose import RULES, extract_prose, find_long_sentences, find_unwanted_words, load_prose_rules, main

ENTRIES = [entry for kind in ("ban", "warn") for entry in yaml.safe_load(RULES.read_text("utf-8"))[kind]]


def find_lines(path: str, source: str) -> list[int]:
    """Return the numbers of the lines with banned words in a file."""
    return [
        finding.line
        for finding in find_unwanted_words(path, source, [rule for rule in load_prose_rules() if rule.is_ban])
    ]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["find"])
def test_each_entry_finds_its_example_and_lets_the_other_pass(entry: dict[str, str]) -> None:
    """Each entry finds its example, and no advice contains a banned word."""
    rules = dict(zip((one["find"] for one in ENTRIES), load_prose_rules(), strict=True))
    assert find_unwanted_words("a.md", entry["wrong"], [rules[entry["find"]]])
    assert not find_unwanted_words("a.md", entry.get("fine", ""), [rules[entry["find"]]])
    assert find_lines("a.md", entry["write"]) == []


@pytest.mark.parametrize(
    ("path", "source", "lines"),
    [
        ("a.md", "Fine.\n\nMend this.\n", [3]),
        ("a.md", "A list in place\nof a tuple.\n", [1]),
        ("a.md", "![by heart](figures/a.svg)\n", [1]),
        ("a.md", "1. A step:\n\n   ```console\n   $ mend\n   ```\n\n   Mend it.\n", [7]),
        ("a.py", '"""Mend a file."""\n', [1]),
        ("a.py", "x = 1  # whoever reads it\n", [1]),
        ("a.py", "# looks\n# whether it is there\n", [1]),
        ("a.py", 'raise ValueError("in place "\n    "of a list")\n', [1]),
        ("a.py", 'print(f"{name} is known by heart")\n', [1]),
        ("a.py", 'def f():\n    """Fine.\n\n    Outside of it.\n    """\n', [4]),
        ("a.html.jinja", "<p>{{ name }} stands in the table.</p>\n", [1]),
        ("a.yaml", "# anew\nhint: Mend this.\n", [1, 2]),
    ],
)
def test_found(path: str, source: str, lines: list[int]) -> None:
    """Banned words are found in texts, docstrings, comments and messages, even across a line break."""
    assert find_lines(path, source) == lines


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a.md", "`mend` and ``anew`` and [x](docs/whoever.md)\n"),
        ("a.md", "```\nmend\n```\n"),
        ("a.md", "Recommend it, amend it.\n"),
        ("a.md", "The end is in place\n\nof the list.\n"),
        ("a.py", "mend = anew(whoever)\n"),
        ("a.py", '"""Call `mend`."""\n'),
        ("a.py", 'f"{mend} is fixed"\n'),
        ("a.py", 'record["mend"] = ("by", "heart")\n'),
        ("a.py", 'x = ["in place", of]\n'),
        ("a.html.jinja", "{% if mend %}{{ anew }}{% endif %}"),
        ("a.md", "He told them to mend it. <!-- prose: keep -->\n"),
        ("a.py", 'title = "Mend it"  # prose: keep, a quotation\n'),
    ],
)
def test_left_alone(path: str, source: str) -> None:
    """Code, names, addresses, parts of longer words and marked lines are ignored."""
    assert find_lines(path, source) == []


def test_a_finding_says_where_and_what_to_write() -> None:
    """A finding is one line: file, line number, the words, and what to write instead."""
    finding = find_unwanted_words("docs/a.md", "Fine.\nThe fence was mended.\n", load_prose_rules())[0]
    assert str(finding) == "docs/a.md:2: “mended” → fix"


def test_what_is_blanked_keeps_its_place() -> None:
    """The extracted prose has as many characters and lines as its file."""
    source = Path(__file__).read_text("utf-8")
    prose = extract_prose("test_prose.py", source)
    assert len(prose) == len(source)
    assert prose.count("\n") == source.count("\n")


def test_a_long_sentence_is_found_where_it_begins() -> None:
    """A sentence of 31 words is found, two of 20 are not."""
    assert [f.line for f in find_long_sentences("a.md", "Short.\n\n" + "Word " * 30 + "end.\n")] == [3]
    assert find_long_sentences("a.md", ("Word " * 19 + "end. ") * 2) == []


def test_the_command_ends_with_1_for_a_ban_and_with_0_for_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words of the second list are printed only when they are asked for, and change no exit code."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)  # noqa: S607
    (tmp_path / "a.md").write_text("It stands beside the door.\n")
    assert main([], tmp_path) == 0
    assert capsys.readouterr().out == ""
    assert main(["--warn"], tmp_path) == 0
    assert capsys.readouterr().out == "a.md:1: “beside” → next to, combined with\n"
    (tmp_path / "b.py").write_text("# Mend the door.\n")
    assert main(["a.md"], tmp_path) == 0
    assert main([], tmp_path) == 1
    assert capsys.readouterr().out.startswith("b.py:1: “Mend” → fix\n1 to fix.")


def test_without_git_all_files_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A course that was unpacked from an archive is read, but packages installed into it are not."""
    for name in ("docs/a.md", ".nox/lint/b.md"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("Mend the door.\n")
    assert main([], tmp_path) == 1
    assert capsys.readouterr().out.startswith("docs/a.md:1: “Mend” → fix\n1 to fix.")
    assert main(["docs"], tmp_path) == 1
