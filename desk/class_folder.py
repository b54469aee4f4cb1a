"""A class's folder: its roster, its gradebook and the key for pseudonyms must never reach a repository."""

from __future__ import annotations

from pathlib import Path

IGNORED = "# A class is private: names, grades and the key for pseudonyms stay out of every repository.\n*\n"


def format_folder_option(folder: Path) -> str:
    """Write the option that selects this folder in a command, or an empty text for `class`, the default."""
    return "" if folder == Path("class") else f" --folder {folder}"


def make_class_folder(folder: Path) -> None:
    """Create a class's folder unless it exists, and have git ignore all of it. An existing `.gitignore` stays."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".gitignore"
    if not path.exists() and not (folder / ".git").exists():
        path.write_text(IGNORED, "utf-8")
