"""Cache the figures that this machine has measured, so that nothing is measured twice.

The figures are stored in the user's cache folder, not in the student's repository. So no submitted file can replace a
measurement, and no worker can read or write the figures. Official grading neither uses nor stores such figures.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import AwareDatetime, ConfigDict

from grading.data.files import rename_damaged_file
from grading.files import write_atomically
from grading.measurement import Measurement
from grading.result import Record

MOST_FILES = 300
"""The maximum number of files. The oldest files are deleted, since every change to student code adds new ones."""


class KeptFigures(Record):
    """One check's figures with their seed and time, and the student code's printed output."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # preserves infinite figures

    record: Literal["tinytorch/figures/v1"] = "tinytorch/figures/v1"
    key: str
    """The digest of everything that the figures depend on, except the seed (see `grading.dependencies`)."""
    seed: int
    measured_at: AwareDatetime
    """The time at which the run that measured the figures started."""
    printed: str
    measured: Measurement


def find_measurement_cache_folder() -> Path:
    """Return the folder for cached measurements, in the user's cache folder, even if it does not exist yet."""
    return platformdirs.user_cache_path("tinytorch", appauthor=False) / "figures"


def load_cached_measurement(key: str, names: Iterable[str]) -> KeptFigures | None:
    """Load a cached measurement, or return None. Rename a file that is damaged or lacks one of the `names`."""
    path = find_measurement_cache_folder() / f"{key}.json"
    try:
        kept = KeptFigures.model_validate_json(path.read_bytes())
        if kept.key != key or not kept.measured.figures.keys() >= set(names):
            raise ValueError("figures with a different key")
    except OSError:
        return None
    except ValueError:  # pydantic's ValidationError is a ValueError
        with contextlib.suppress(OSError):
            rename_damaged_file(path)
        return None
    return kept


def save_measurement(kept: KeptFigures) -> None:
    """Cache a check's measurement, deleting all but the newest `MOST_FILES` files. Ignore an unwritable disk."""
    with contextlib.suppress(OSError):
        find_measurement_cache_folder().mkdir(parents=True, exist_ok=True)
        write_atomically(find_measurement_cache_folder() / f"{kept.key}.json", kept.model_dump_json(indent=1).encode())
        files = sorted(find_measurement_cache_folder().iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[MOST_FILES:]:
            path.unlink(missing_ok=True)


def is_measurement_cache_writable() -> bool:
    """Return whether the cache folder is writable or, if it does not exist, can be created."""
    place = find_measurement_cache_folder()
    while not place.exists():
        place = place.parent
    return os.access(place, os.W_OK)
