"""A class's folder: roster, gradebook and the key of the pseudonyms, which must never reach a repository."""

from __future__ import annotations

from pathlib import Path

IGNORED = "# A class is private: names, grades and the key of the pseudonyms stay out of every repository.\n*\n"


def format_option(folder: Path) -> str:
    """The option that names this folder in a command to type: nothing for `class`."""
    return "" if folder == Path("class") else f" --folder {folder}"


def make_class_folder(folder: Path) -> None:
    """Make a class's folder unless it is there, and have git ignore all of it; a `.gitignore` of yours stays."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".gitignore"
    if not path.exists() and not (folder / ".git").exists():
        path.write_text(IGNORED, "utf-8")
