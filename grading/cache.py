"""Figures that this machine has measured, kept so that nothing is measured twice.

They lie in the user's cache folder and not in the student's repository: nothing that is handed in can answer for a
measurement, and no worker can read or write there. Official grading neither looks here nor keeps anything.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import AwareDatetime, ConfigDict

from grading.data.files import set_aside
from grading.files import write_atomically
from grading.measurement import Measurement
from grading.result import Record

MOST_FILES = 300
"""The oldest make way: each change of a file brings figures of its own."""


class KeptFigures(Record):
    """What one check has measured, from which seed, when, and what student code printed meanwhile."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # an infinite figure must come back as one

    record: Literal["tinytorch/figures/v1"] = "tinytorch/figures/v1"
    key: str
    """Digest of everything the figures depend on but the seed: `grading.dependencies`."""
    seed: int
    measured_at: AwareDatetime
    """When the run that measured them began."""
    printed: str
    measured: Measurement


def folder() -> Path:
    """The folder of kept figures, in the user's cache folder."""
    return platformdirs.user_cache_path("tinytorch", appauthor=False) / "figures"


def find_figures(key: str, names: Iterable[str]) -> KeptFigures | None:
    """The figures with this key, if all that are named are among them; a damaged file is set aside, and None."""
    path = folder() / f"{key}.json"
    try:
        kept = KeptFigures.model_validate_json(path.read_bytes())
        if kept.key != key or not kept.measured.figures.keys() >= set(names):
            raise ValueError("figures of something else")
    except OSError:
        return None
    except ValueError:  # pydantic's is one
        with contextlib.suppress(OSError):
            set_aside(path)
        return None
    return kept


def keep_figures(kept: KeptFigures) -> None:
    """Keep what a check has measured, in place of what it measured before; without a disk that takes it, go on."""
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        write_atomically(folder() / f"{kept.key}.json", kept.model_dump_json(indent=1).encode())
        files = sorted(folder().iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[MOST_FILES:]:
            path.unlink(missing_ok=True)


def writable() -> bool:
    """Whether figures can be kept here."""
    place = folder()
    while not place.exists():
        place = place.parent
    return os.access(place, os.W_OK)
