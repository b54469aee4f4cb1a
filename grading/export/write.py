"""`python -m grading export`: reads result records and writes one file in another format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from grading.errors import UsageError
from grading.export.classroom50 import classroom50
from grading.export.ctrf import ctrf
from grading.export.gradescope import gradescope
from grading.export.runner import runner
from grading.files import require_folder, write_atomically
from grading.progress import LARGEST
from grading.render.junit import junit
from grading.render.record import from_json
from grading.result import Result


class Format(StrEnum):
    """The formats that can be written."""

    CLASSROOM50 = "classroom50"
    RUNNER = "runner"
    JUNIT = "junit"
    CTRF = "ctrf"
    GRADESCOPE = "gradescope"


def export(results: Sequence[Result], form: Format, environ: Mapping[str, str]) -> str:
    """Render the results, at least one, in this format; UsageError when Classroom 50's variables are missing."""
    match form:
        case Format.CLASSROOM50:
            return classroom50(results, environ)
        case Format.RUNNER:
            return runner(results)
        case Format.JUNIT:
            return junit(*results)
        case Format.CTRF:
            return ctrf(results)
        case Format.GRADESCOPE:
            return gradescope(results)


def read_results(paths: Sequence[Path]) -> tuple[Result, ...]:
    """Read the records in these files; UsageError names the first file that is not a record."""
    return tuple(map(_read, paths))


def _read(path: Path) -> Result:
    """Read one record; UsageError says how to write it again."""
    repair = "Write it with: nox -s milestone-1 -- --json result.json"
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. {repair}") from None
    if len(data) > LARGEST:
        raise UsageError(f"{path} is larger than any result record. {repair}")
    try:
        return from_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{path} is not a result record: {where}: {first['msg']}. {repair}") from None


def write(paths: Sequence[Path], form: Format, to: Path, environ: Mapping[str, str]) -> None:
    """Read the records, render them and write the file in one step; UsageError when a file is unusable."""
    require_folder(to)
    write_atomically(to, export(read_results(paths), form, environ).encode())
