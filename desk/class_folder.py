"""A class's folder. Its roster, its gradebook and its key for pseudonyms must never reach a repository."""

from __future__ import annotations

from pathlib import Path

IGNORED = "# A class is private: names, grades and the key for pseudonyms stay out of every repository.\n*\n"


def format_folder_option(folder: Path) -> str:
    """Format the command-line option for this folder, after a space; return "" for the default folder, `class`."""
    return "" if folder == Path("class") else f" --folder {folder}"


def make_class_folder(folder: Path) -> None:
    """Create a class's folder unless it exists, and make git ignore it unless it has a `.gitignore` or a `.git`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".gitignore"
    if not path.exists() and not (folder / ".git").exists():
        path.write_text(IGNORED, "utf-8")
