"""Who the student is: known from `student.yaml`, or asked for once, where somebody can answer."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.prompt import Prompt
from rich.text import Text

from grading.errors import UsageError
from grading.quiz.identity import FILE, save_student_id, student_id, valid_id

WHY = "The numbers in your questions follow from who you are."
PROMPT = "Your GitHub user name"


def can_ask(out: Console) -> bool:
    """Whether there is a person at both ends of a terminal."""
    return out.is_terminal and sys.stdin.isatty()


def find_student(root: Path, student: str | None, out: Console) -> str:
    """The student's id: known, given, or asked for. UsageError where it is none of these."""
    known = student_id(root)
    if known is not None:
        if student is not None and valid_id(student) != known:
            raise UsageError(f"{FILE.as_posix()} says you are {known}. To change it, edit that file.")
        return known
    if student is None and not can_ask(out):
        raise UsageError(f"Who are you? {WHY} Add --student your-user-name")
    while student is None:
        student = _ask(out, PROMPT)
    save_student_id(root, student)
    return valid_id(student)


def introduce(root: Path, out: Console) -> None:
    """Ask a student who is not known yet; an empty answer puts it off. Without a terminal, say what to write where."""
    try:
        if student_id(root) is not None:
            return
    except UsageError as error:  # a damaged file
        out.print(Text(f"{error}\n", style="yellow"))
        return
    if not can_ask(out):
        out.print(Text(f"Write who you are into {FILE.as_posix()}, one line: id: your-user-name. {WHY}\n", style="dim"))
        return
    while (said := Prompt.ask(f"{PROMPT} (empty: later)", console=out, default="", show_default=False)).strip():
        try:
            save_student_id(root, said)
        except UsageError as error:
            out.print(Text(str(error), style="yellow"))
        else:
            out.print(Text(f"Kept in {FILE.as_posix()}. {WHY}\n", style="dim"))
            return


def _ask(out: Console, prompt: str) -> str | None:
    """A valid name, or None."""
    out.print(WHY)
    try:
        return valid_id(Prompt.ask(prompt, console=out))
    except UsageError as error:
        out.print(Text(str(error), style="yellow"))
        return None
