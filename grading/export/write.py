"""The command `python -m grading export`, which reads result records and writes one file in another format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from grading.errors import UsageError
from grading.export.classroom50_result import render_classroom50
from grading.export.ctrf import render_ctrf
from grading.export.gradescope import render_gradescope
from grading.export.runner_result import render_runner_result
from grading.files import require_folder, write_atomically
from grading.progress import LARGEST
from grading.render.junit import render_junit
from grading.render.record import decode_result
from grading.result import Result


class ExportFormat(StrEnum):
    """The formats that can be written."""

    CLASSROOM50 = "classroom50"
    RUNNER = "runner"
    JUNIT = "junit"
    CTRF = "ctrf"
    GRADESCOPE = "gradescope"


def render_results(results: Sequence[Result], export_format: ExportFormat, environ: Mapping[str, str]) -> str:
    """Render one or more results in this format. Raise UsageError if Classroom 50's variables are missing."""
    match export_format:
        case ExportFormat.CLASSROOM50:
            return render_classroom50(results, environ)
        case ExportFormat.RUNNER:
            return render_runner_result(results)
        case ExportFormat.JUNIT:
            return render_junit(*results)
        case ExportFormat.CTRF:
            return render_ctrf(results)
        case ExportFormat.GRADESCOPE:
            return render_gradescope(results)


def read_results(paths: Sequence[Path]) -> tuple[Result, ...]:
    """Read the records in these files. Raise UsageError for the first file that is not a record."""
    return tuple(map(_read_result, paths))


def _read_result(path: Path) -> Result:
    """Read one record. Raise UsageError, with the command that writes a record, if the file is not a valid record."""
    repair = "Write it with: nox -s milestone-1 -- --json result.json"
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. {repair}") from None
    if len(data) > LARGEST:
        raise UsageError(f"{path} is larger than any result record. {repair}")
    try:
        return decode_result(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{path} is not a result record: {where}: {first['msg']}. {repair}") from None


def write_results(paths: Sequence[Path], export_format: ExportFormat, target: Path, environ: Mapping[str, str]) -> None:
    """Read the records, render them and write the file atomically. Raise UsageError if a file is unusable."""
    require_folder(target)
    write_atomically(target, render_results(read_results(paths), export_format, environ).encode())
