"""`python -m course.prose`: find words in texts, comments and messages that a native editor would mark.

The words are in `course/prose.yaml`. With `--warn`, words that are nearly always wrong are printed as well,
and so is every sentence of more than 30 words. Paths limit the search: `python -m course.prose --warn docs README.md`.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import token
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from grading.entry import run_and_get_exit_code

ROOT = Path(__file__).resolve().parents[1]
RULES = Path(__file__).with_suffix(".yaml")
TEXTS = {".md", ".jinja", ".html", ".js", ".css", ".yaml", ".yml", ".toml", ".cff", ".sql", ".sh"}
QUOTING = {"course/prose.yaml", "tests/course/test_prose.py"}
"""The files that are not checked because they discuss these words."""
LEFT_OUT = {
    ".git",
    ".nox",
    ".venv",
    ".tito",
    "__pycache__",
    "node_modules",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
}
"""The folders that are not part of the course, for use without git."""
KEEP = "prose: keep"
CUT = "\0"
"""The character that replaces code inside a text, so that no phrase matches across it."""
MOST_WORDS = 30

FENCED = re.compile(r"^([ >]*)(```+|~~~+).*?^\1\2[ ]*$", re.MULTILINE | re.DOTALL)
NOT_PROSE = re.compile(r"``[^`]+``|`[^`\n]*`|\]\([^)\s]*\)|<(?:a|img)\b[^>]*\b(?:href|src)=\"[^\"]*\"|https?://\S+")
JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
FIELD = re.compile(r"\{[^{}\n]*\}")
STRINGS = {token.STRING} | {getattr(token, name) for name in ("FSTRING_MIDDLE",) if hasattr(token, name)}
JOINING = {token.NL, token.INDENT, token.DEDENT}
JOINING |= {getattr(token, name) for name in ("FSTRING_START", "FSTRING_END") if hasattr(token, name)}
BOUNDARY = re.compile(
    r"(?<=[.!?])[)”\"*_]*\s+(?=[A-Z(“\"*_\0])"  # a full stop and a capital
    r"|\n\s*\n|^\s*(?:[-*|#>]|\d+\.)\s|\s\|\s"  # a paragraph, an item, a cell
    r"|^[ ]*(?:\0|(?:- )?[\w.-]+:\s)",  # code, a key of YAML
    re.MULTILINE,
)


@dataclass(frozen=True)
class Rule:
    """Words to look for, and what to write instead."""

    pattern: re.Pattern[str]
    better: str
    why: str = ""
    is_ban: bool = True


@dataclass(frozen=True)
class Finding:
    """Words that a rule has found, with their location."""

    path: str
    line: int
    words: str
    advice: str
    is_ban: bool

    def __str__(self) -> str:
        """Format the finding as one line, which editors turn into a link."""
        return f"{self.path}:{self.line}: “{self.words}” → {self.advice}"


def load_prose_rules(path: Path = RULES) -> list[Rule]:
    """Load the rules from the YAML file at this path, bans first."""
    data = yaml.safe_load(path.read_text("utf-8"))
    return [
        Rule(compile_phrase_pattern(entry["find"]), entry["write"], entry.get("why", ""), is_ban=kind == "ban")
        for kind in ("ban", "warn")
        for entry in data[kind]
    ]


def compile_phrase_pattern(text: str) -> re.Pattern[str]:
    """Compile a regular expression so that it matches whole words in any case, and its spaces match line breaks too."""
    spaced = text.replace(" ", r"(?:[ \t]+|[ \t]*\n[ \t]*)")
    start = r"\b" if text[0].isalnum() else ""
    end = r"\b" if text[-1].isalnum() or text.endswith((")?", r"\w+")) else ""
    return re.compile(f"{start}(?:{spaced}){end}", re.IGNORECASE)


def find_unwanted_words(path: str, source: str, rules: Iterable[Rule]) -> list[Finding]:
    """Find the words that these rules name in one file's prose, in the order of its lines; skip lines with KEEP."""
    prose, lines, findings = extract_prose(path, source), source.splitlines(), []
    for rule in rules:
        for match in rule.pattern.finditer(prose):
            line = prose.count("\n", 0, match.start()) + 1
            if KEEP not in lines[line - 1]:
                advice = f"{rule.better} ({rule.why})" if rule.why else rule.better
                findings.append(Finding(path, line, " ".join(match[0].replace(CUT, "…").split()), advice, rule.is_ban))
    return sorted(findings, key=lambda finding: finding.line)


def find_long_sentences(path: str, source: str) -> list[Finding]:
    """Find the sentences that have more than 30 words."""
    prose, start, findings = extract_prose(path, source), 0, []
    for end in [*(match.end() for match in BOUNDARY.finditer(prose)), len(prose)]:
        words = re.findall(r"\w[\w’'.,-]*", prose[start:end].replace(CUT, ""))
        if len(words) > MOST_WORDS:
            line = prose.count("\n", 0, start + len(prose[start:end]) - len(prose[start:end].lstrip())) + 1
            findings.append(Finding(path, line, " ".join(words[:6]) + " …", f"{len(words)} words: split it", False))
        start = end
    return findings


def extract_prose(path: str, source: str) -> str:
    """Replace every character of code with CUT, so that the text keeps its length and its lines."""
    if path.endswith(".py"):
        return _extract_python_prose(source)
    if path.endswith((".md", ".md.jinja")):
        source = FENCED.sub(_blank_out_match, source)
    if path.endswith((".yaml", ".yml", ".toml", ".sql", ".sh", ".cff")):
        source = re.sub(r"^(\s*)#", r"\1 ", source, flags=re.MULTILINE)
    if path.endswith(".jinja"):
        source = JINJA.sub(_blank_out_match, source)
    return NOT_PROSE.sub(_blank_out_match, source)


def _extract_python_prose(source: str) -> str:
    """Keep the comments, docstrings and messages of a Python file, and replace every other character with CUT."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    prose = [char if char == "\n" else CUT for char in source]
    end_before = 0
    for found in tokenize.generate_tokens(io.StringIO(source).readline):
        start, end = (starts[row - 1] + column for row, column in (found.start, found.end))
        is_text = found.type in STRINGS or found.type == token.COMMENT
        if is_text or found.type in JOINING:
            for index in range(end_before, end):  # neighbouring strings and comments are one text
                if source[index] in " \t":
                    prose[index] = " "
        if is_text:
            prose[start:end] = _keep_literal_prose(source[start:end], is_comment=found.type == token.COMMENT)
        end_before = end
    return "".join(prose)


def _keep_literal_prose(text: str, *, is_comment: bool) -> str:
    """Keep the words of a comment, or of a string unless it is a single word; replace code in it with CUT."""
    if is_comment:
        return NOT_PROSE.sub(_blank_out_match, re.sub(r"^#+", lambda found: " " * len(found[0]), text))
    opening = re.match(r"[rbfuRBFU]{0,2}('''|\"\"\"|'|\")", text)
    if opening is None:  # the middle of an f-string, since Python 3.12
        return NOT_PROSE.sub(_blank_out_match, text)
    length, quotes = len(opening[0]), opening[1]
    inner = text[length : -len(quotes)]
    if len(quotes) == 1 and not re.search(r"\s", inner):  # one word is a key or a name
        return CUT * len(text)
    if "f" in opening[0].lower():
        inner = FIELD.sub(_blank_out_match, inner)
    mark = CUT if len(quotes) == 3 else " "
    before = " " * (length - len(quotes)) + (quotes if len(quotes) == 3 else mark * len(quotes))
    return before + NOT_PROSE.sub(_blank_out_match, FENCED.sub(_blank_out_match, inner)) + mark * len(quotes)


def _blank_out_match(match: re.Match[str]) -> str:
    """Replace each character of a match with CUT, except line breaks."""
    return "".join(char if char == "\n" else CUT for char in match[0])


def list_prose_files(root: Path, paths: Iterable[str] = ()) -> Iterator[str]:
    """Yield root-relative paths of prose files below `paths`: those git tracks or would add, or all without git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    try:
        listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        starts = [root / path for path in paths] or [root]
        found = [file for start in starts for file in ([start] if start.is_file() else start.rglob("*"))]
        listed = [file.relative_to(root).as_posix() for file in found]
        listed = [name for name in listed if not LEFT_OUT & set(Path(name).parts)]
    for name in sorted(set(listed) - {""} - QUOTING):
        if Path(name).suffix in TEXTS | {".py"} and (root / name).is_file():
            yield name


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Print the findings in the files below these paths, or in all files. Return 1 if there is a banned word, else 0.

    With `--warn` among the arguments, also print warnings.
    """
    warn = "--warn" in arguments
    rules = [rule for rule in load_prose_rules() if rule.is_ban or warn]
    banned = 0
    for name in list_prose_files(root, [one for one in arguments if one != "--warn"]):
        try:
            source = (root / name).read_text("utf-8")
            findings = find_unwanted_words(name, source, rules)
            if warn:
                findings += find_long_sentences(name, source)
        except (UnicodeDecodeError, SyntaxError, tokenize.TokenError):
            continue  # a deliberately broken submission among the tests
        for finding in sorted(findings, key=lambda one: one.line):
            print(finding)
        banned += sum(finding.is_ban for finding in findings)
    if banned:
        print(f"{banned} to fix. The words are in course/prose.yaml.")
    return 1 if banned else 0


if __name__ == "__main__":
    sys.exit(run_and_get_exit_code(lambda: main(sys.argv[1:])))
