"""Reads and writes the folder of a site: lists its files, writes changed ones, and removes old ones."""

from __future__ import annotations

import os
from pathlib import Path

from grading.errors import UsageError
from website.build_state import BuildState, read_build_state, write_build_state
from website.page_renderer import SiteFiles

OURS = ("student", "class", "course", "static")
"""The site's folders that hold only files from a build; all other files in them are removed."""


def read_or_create_site_state(target: Path) -> BuildState:
    """Read an earlier build's state, or create the folder and an empty state; raise UsageError for other contents."""
    before = read_build_state(target)
    if before is None:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(
                f"{target} is not empty, and it does not contain a site that was built there. Choose a folder that "
                "does not exist yet."
            )
        target.mkdir(parents=True, exist_ok=True)
        before = BuildState()
        write_build_state(target, before)  # so an interrupted build can be repeated
    return before


def list_file_sizes(target: Path) -> dict[str, int]:
    """Map the path of every file below the folder, relative to it, to its size in bytes."""
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


def remove_old_files(target: Path, paths: set[str]) -> int:
    """Of these files, remove those in the site's own folders, and folders left empty; return the number of files."""
    old = sorted(path for path in paths if path.partition("/")[0] in OURS)
    for path in old:
        (target / path).unlink()
    for folder in sorted({(target / path).parent for path in old}, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    return len(old)


def write_changed_files(target: Path, files: SiteFiles) -> int:
    """Write the files that differ; return how many were written."""
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
