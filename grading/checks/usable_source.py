"""Check that every file was handed in and is readable Python source, and that no file hides stored data."""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping

from grading.measurement import CheckContext, Measurement
from grading.render.text import format_count
from grading.result import Failure
from grading.submission import list_source_files
from grading.syntax import parse_source

LARGEST_NAMED = 3


def count_unusable_files(context: CheckContext) -> Measurement:
    """Count problems that prevent grading: files that are missing, refused or not Python, and data hidden in code."""
    files = list_source_files(context.manifest, context.modules)
    refused = {note.path: note.message for note in context.submission.record.refused}
    budget, failures = context.budget, []
    texts: dict[str, str] = {}
    bounds: dict[str, int] = {}
    for file in files:
        name, text = file.path.as_posix(), context.submission.read_text(file.path)
        bounds[name] = budget.recipe_bytes if file.is_recipe else budget.module_bytes
        if text is None:
            failures.append(_build_missing_file_failure(name, refused.get(name, "it was not handed in")))
            continue
        texts[name] = text
        if isinstance(wrong := parse_source(text, name), Failure):
            failures.append(wrong)
    failures += find_files_with_stored_data(texts, bounds, budget.average_bytes if context.milestone else None)
    return Measurement(
        {"unusable": float(len(failures))},
        {"unusable": tuple(failures)},
        how=f"read from the text of {format_count(len(files), 'file')}, which did not run",
    )


def find_files_with_stored_data(
    texts: Mapping[str, str], byte_limits: Mapping[str, int], average_limit: int | None
) -> Iterator[Failure]:
    """Yield a failure for each file whose compressed text exceeds its limit, or else one if all files together do.

    All files, compressed together, may average ``average_limit`` bytes; None means no limit. One long file is a matter
    of style, but long files everywhere could be hiding data.
    """
    sizes = {name: measure_compressed_size(text) for name, text in texts.items()}
    too_large = [name for name in texts if sizes[name] > byte_limits[name]]
    for name in too_large:
        yield _explain_stored_data("The file holds", name, f"{name}: {sizes[name]:,} bytes", byte_limits[name])
    if average_limit is None or too_large:
        return
    size, most = measure_compressed_size("".join(texts.values())), average_limit * len(texts)
    if size > most:
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:LARGEST_NAMED]
        got = f"{size:,} bytes in {format_count(len(texts), 'file')}, most of it in {', '.join(largest)}"
        yield _explain_stored_data("All files together hold", largest[0], got, most)


def measure_compressed_size(text: str) -> int:
    """Measure the size of a text in bytes after compression with lzma.

    Stored data cannot be made much smaller, whether it is written as digits, words, names, spaces or comments.
    """
    return len(lzma.compress(text.encode()))


def _explain_stored_data(subject: str, path: str, got: str, byte_limit: int) -> Failure:
    """Describe code that holds more information than its limit."""
    return Failure(
        title=f"{subject} code and no stored data",
        got=f"{got}, compressed with lzma",
        expected=f"at most {byte_limit:,} bytes, more than twice what the course's own code holds",
        hint="Compute weights by training, and tables in code. If the file holds only code and comments, delete "
        "whatever is left over from trying things out.",
        file=path,
    )


def _build_missing_file_failure(path: str, reason: str) -> Failure:
    """Describe a file that was not handed in, or was refused."""
    return Failure(
        title="Every file of the course is handed in",
        got=f"{path}: {reason}",
        expected="a plain UTF-8 Python file",
        hint=f"Save it as {path}. Start from the course's own version.",
        file=path,
    )
