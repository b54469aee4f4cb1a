"""The folder a site is written to: what is there, what is written, what is removed, and what is not ours."""

from __future__ import annotations

import os
from pathlib import Path

from grading.errors import UsageError
from website.render import Files
from website.state import State, read_state, write_state

OURS = ("student", "class", "course", "static")
"""Folders of the site in which every file is made by a build, and others are removed."""


def begin(target: Path) -> State:
    """What an earlier build has left. A folder with anything else in it is refused."""
    before = read_state(target)
    if before is None:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(
                f"{target} is not empty, and no site has been built there. Name a folder that does not exist yet."
            )
        target.mkdir(parents=True, exist_ok=True)
        before = State()
        write_state(target, before)  # a build that is interrupted can then be repeated
    return before


def sizes(target: Path) -> dict[str, int]:
    """Every file of ours that is there, with its size."""
    found, folders = {}, [(target, "")]
    while folders:
        folder, prefix = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append((Path(entry.path), f"{prefix}{entry.name}/"))
                else:
                    found[prefix + entry.name] = entry.stat(follow_symlinks=False).st_size
    return found


def remove(target: Path, paths: set[str]) -> int:
    """Remove what is not of the site any more, and folders that it leaves empty."""
    old = sorted(path for path in paths if path.partition("/")[0] in OURS)
    for path in old:
        (target / path).unlink()
    for folder in sorted({(target / path).parent for path in old}, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    return len(old)


def write(target: Path, files: Files) -> int:
    """Write what differs; how many files those were."""
    written = 0
    for path, data in files.items():
        place = target / path
        try:
            if place.read_bytes() == data:
                continue
        except FileNotFoundError:
            place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        written += 1
    return written
