"""What the documentation tells a reader to type: found in Markdown, in help texts and in the chores' list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from course.release import COPIED_FILES, render_templates
from grading.manifest.loader import load_manifest

FENCE = re.compile(r"^( *)(```+)(\w*)[^\n]*\n(.*?)^\1\2$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
PROGRAMS = ("tito", "nox", "inv", "pytest", "pip", "python", "python3", "source", "dask")
DESCRIBING = ("docs/CHANGELOG.md", "docs/architecture/")
"""Pages whose backticks name things and tell nobody to type them."""
PLACEHOLDER = re.compile(r"…|NN|\bN\b|\bNAME\b|\bDIR\b|\bADDRESS\b|\bX\b|[{\[<]")


@dataclass(frozen=True)
class Command:
    """One line to type, and the place where a reader of it stands: the course's repository or a student's."""

    text: str
    place: str
    source: str
    """The file, or the program whose help says it."""


@cache
def read_pages(root: Path) -> dict[str, str]:
    """Map the name of every page of the repository, and of those rendered for a release, to its text."""
    found = [
        *root.glob("*.md"),
        *root.glob(".github/*.md"),
        *root.glob("docs/**/*.md"),
        *root.glob("modules/*/README.md"),
        *(path for path in root.glob("tests/**/README.md") if "node_modules" not in path.parts),  # others are fixtures
    ]
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in sorted(found)}
    released = render_templates(root, load_manifest(root))
    return texts | {f"course/templates/{name}.jinja": released[Path(name)] for name in ("AGENTS.md", "README.md")}


def find_reader_place(page: str) -> str:
    """Return whose page this is: students read released pages, and those who change the course read all others."""
    released = page in COPIED_FILES or page.startswith(("modules/", "course/templates/"))
    return "student" if released else "course"


def find_fenced_blocks(text: str, language: str) -> list[str]:
    """List the contents of every fenced block of this language."""
    return [found[4] for found in FENCE.finditer(text) if found[3] == language]


def remove_fenced_blocks(text: str) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", text)


def find_inline_commands(text: str) -> Iterator[str]:
    """Yield every text in backticks that begins with one of our programs and has arguments."""
    for code in CODE.findall(remove_fenced_blocks(text)):
        if code.split(" ")[0] in PROGRAMS and " " in code:
            yield code


def find_commands_in_pages(root: Path) -> Iterator[Command]:
    """Yield the `$` lines of console blocks, and the commands in backticks on pages with instructions."""
    for page, text in read_pages(root).items():
        for block in find_fenced_blocks(text, "console"):
            for line in block.splitlines():
                if line.strip().startswith("$ "):
                    yield Command(line.strip()[2:], find_reader_place(page), page)
        for code in find_inline_commands(text):
            if not page.startswith(DESCRIBING) and not PLACEHOLDER.search(code):
                yield Command(code, find_reader_place(page), page)


def find_commands_in_help() -> Iterator[Command]:
    """Yield the examples in the help of `tito` and `python -m grading`, and in noxfile.py and tasks.py."""
    from grading.__main__ import app as grading_app
    from tito.commands import app as tito_app

    for program, app, place in (("tito", tito_app, "student"), ("python -m grading", grading_app, "course")):
        for name, command in list_subcommands(typer.main.get_command(app), program).items():
            for line in f"{command.help}\n{command.epilog}".splitlines():
                typed = line.partition(" #")[0].strip()
                if typed.startswith(("tito ", "nox ", "python -m ")):
                    yield Command(re.split(r"\s{2,}", typed)[0], place, f"{name} --help")


def list_subcommands(command: Any, name: str) -> dict[str, Any]:
    """Map the words to type, below this name, to a command of Typer's parser and to its subcommands."""
    found = {name: command}
    for word, below in getattr(command, "commands", {}).items():
        found |= list_subcommands(below, f"{name} {word}")
    return found


@cache
def list_documented_commands(root: Path) -> tuple[Command, ...]:
    """List each command once for each place, in the order of the pages."""
    found: dict[tuple[str, str], Command] = {}
    for command in [*find_commands_in_pages(root), *find_commands_in_help()]:
        found.setdefault((command.text, command.place), command)
    return tuple(found.values())


@cache
def list_nox_sessions(root: Path) -> set[str]:
    """Return the names that `nox -l` shows: those made from the manifest, and those in noxfile.py."""
    manifest = load_manifest(root)
    generated = [f"milestone-{m.id}" for m in manifest.milestones] + [f"module-{m.id}" for m in manifest.modules]
    return {*generated, *_find_names_in_decorators(root / "noxfile.py", "nox.session")}


def list_chores(root: Path) -> set[str]:
    """Return the names that `inv --list` shows."""
    return _find_names_in_decorators(root / "tasks.py", "chore")


def _find_names_in_decorators(path: Path, decorator: str) -> set[str]:
    """Return the names that this decorator gives to a file's functions: its first argument, or `name`."""
    functions = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.FunctionDef)]
    calls = [mark for f in functions for mark in f.decorator_list if isinstance(mark, ast.Call)]
    named = [mark for mark in calls if ast.unparse(mark.func) == decorator]
    return {
        ast.literal_eval(mark.args[0] if mark.args else next(k.value for k in mark.keywords if k.arg == "name"))
        for mark in named
    }
