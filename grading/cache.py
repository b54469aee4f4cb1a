"""Keep figures that this machine has measured, so that nothing is measured twice.

They are in the user's cache folder, not in the student's repository. So nothing that is handed in can replace a
measurement, and no worker can read or write them. Official grading does not use them and keeps none.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import AwareDatetime, ConfigDict

from grading.data.files import set_aside_file
from grading.files import write_atomically
from grading.measurement import Measurement
from grading.result import Record

MOST_FILES = 300
"""The number of files to keep. The oldest are deleted, since every change to a file adds new figures."""


class KeptFigures(Record):
    """One check's figures, with their seed and time, and the student code's printed output."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # keeps infinite figures

    record: Literal["tinytorch/figures/v1"] = "tinytorch/figures/v1"
    key: str
    """Digest of everything the figures depend on except the seed: `grading.dependencies`."""
    seed: int
    measured_at: AwareDatetime
    """The start of the run that measured them."""
    printed: str
    measured: Measurement


def find_figures_folder() -> Path:
    """Return the folder of kept figures, in the user's cache folder."""
    return platformdirs.user_cache_path("tinytorch", appauthor=False) / "figures"


def find_figures(key: str, names: Iterable[str]) -> KeptFigures | None:
    """Find the kept figures with this key; return None unless all the named ones are there.

    A damaged file is set aside.
    """
    path = find_figures_folder() / f"{key}.json"
    try:
        kept = KeptFigures.model_validate_json(path.read_bytes())
        if kept.key != key or not kept.measured.figures.keys() >= set(names):
            raise ValueError("figures with a different key")
    except OSError:
        return None
    except ValueError:  # pydantic's is one
        with contextlib.suppress(OSError):
            set_aside_file(path)
        return None
    return kept


def keep_figures(kept: KeptFigures) -> None:
    """Keep a check's figures and delete the oldest ones; a disk that cannot be written is ignored."""
    with contextlib.suppress(OSError):
        find_figures_folder().mkdir(parents=True, exist_ok=True)
        write_atomically(find_figures_folder() / f"{kept.key}.json", kept.model_dump_json(indent=1).encode())
        files = sorted(find_figures_folder().iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[MOST_FILES:]:
            path.unlink(missing_ok=True)


def can_keep_figures() -> bool:
    """Return whether figures can be kept here."""
    place = find_figures_folder()
    while not place.exists():
        place = place.parent
    return os.access(place, os.W_OK)
