"""Find out who the student is by reading `student.yaml`, or by asking once on a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.prompt import Prompt
from rich.text import Text

from grading.errors import UsageError
from grading.quiz.student_id import STUDENT_FILE, normalize_student_id, read_student_id, save_student_id

WHY = "The numbers in your questions are derived from your user name."
PROMPT = "Your GitHub user name"


def can_ask(out: Console) -> bool:
    """Return whether a person can be asked, which needs a terminal for both input and output."""
    return out.is_terminal and sys.stdin.isatty()


def find_or_ask_for_student_id(root: Path, given_id: str | None, out: Console) -> str:
    """Return the saved id, or save ``given_id`` or a typed one; raise UsageError if there is none or they differ."""
    known = read_student_id(root)
    if known is not None:
        if given_id is not None and normalize_student_id(given_id) != known:
            raise UsageError(f"{STUDENT_FILE.as_posix()} says you are {known}. To change it, edit that file.")
        return known
    if given_id is None and not can_ask(out):
        raise UsageError(f"tito does not know your user name yet. {WHY} Add --student your-user-name")
    while given_id is None:
        given_id = _ask_once_for_student_id(out, PROMPT)
    save_student_id(root, given_id)
    return normalize_student_id(given_id)


def ask_for_unknown_student_id(root: Path, out: Console) -> None:
    """Unless the student's id is known, ask for it and save it or, without a terminal, print which file to write it to.

    An empty answer postpones the question.
    """
    try:
        if read_student_id(root) is not None:
            return
    except UsageError as error:  # a damaged file
        out.print(Text(f"{error}\n", style="yellow"))
        return
    if not can_ask(out):
        out.print(Text(f"Write one line to {STUDENT_FILE.as_posix()}: id: your-user-name. {WHY}\n", style="dim"))
        return
    while (
        said := Prompt.ask(f"{PROMPT} (leave empty to answer later)", console=out, default="", show_default=False)
    ).strip():
        try:
            save_student_id(root, said)
        except UsageError as error:
            out.print(Text(str(error), style="yellow"))
        else:
            out.print(Text(f"Saved in {STUDENT_FILE.as_posix()}. {WHY}\n", style="dim"))
            return


def _ask_once_for_student_id(out: Console, prompt: str) -> str | None:
    """Ask for the student's id once and normalise it. If the answer is not valid, print why and return None."""
    out.print(WHY)
    try:
        return normalize_student_id(Prompt.ask(prompt, console=out))
    except UsageError as error:
        out.print(Text(str(error), style="yellow"))
        return None
