"""`python -m grading export`: result records in, one file of another format out."""

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
    """What can be written."""

    CLASSROOM50 = "classroom50"
    RUNNER = "runner"
    JUNIT = "junit"
    CTRF = "ctrf"
    GRADESCOPE = "gradescope"


def export(results: Sequence[Result], form: Format, environ: Mapping[str, str]) -> str:
    """The results, at least one, in this format; UsageError when Classroom 50's variables are missing."""
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
    """The records in these files; UsageError that names the first which is none."""
    return tuple(map(_read, paths))


def _read(path: Path) -> Result:
    mend = "Write it with: nox -s milestone-1 -- --json result.json"
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. {mend}") from None
    if len(data) > LARGEST:
        raise UsageError(f"{path} is larger than any result record. {mend}")
    try:
        return from_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{path} is no result record: {where}: {first['msg']}. {mend}") from None


def write(paths: Sequence[Path], form: Format, to: Path, environ: Mapping[str, str]) -> None:
    """Read, render, write in one step; UsageError when something cannot be read or written."""
    require_folder(to)
    write_atomically(to, export(read_results(paths), form, environ).encode())
