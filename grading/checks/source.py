"""Every file is readable Python source that was handed in, and none is a place to store data."""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping

from grading.measured import Context, Measured
from grading.render.text import write_count
from grading.result import Failure
from grading.submission import source_files
from grading.syntax import parse

LARGEST_NAMED = 3


def source(context: Context) -> Measured:
    """Count what cannot be graded: files that are missing, refused or not Python, and data stored among the code."""
    files = source_files(context.manifest, context.modules)
    refused = {note.path: note.message for note in context.submission.record.refused}
    budget, failures = context.budget, []
    texts: dict[str, str] = {}
    bounds: dict[str, int] = {}
    for file in files:
        name, text = file.path.as_posix(), context.submission.text(file.path)
        bounds[name] = budget.recipe_bytes if file.is_recipe else budget.module_bytes
        if text is None:
            failures.append(_missing(name, refused.get(name, "it was not handed in")))
            continue
        texts[name] = text
        if isinstance(wrong := parse(text, name), Failure):
            failures.append(wrong)
    failures += find_stored_data(texts, bounds, budget.average_bytes if context.milestone else None)
    return Measured(
        {"unusable": float(len(failures))},
        {"unusable": tuple(failures)},
        how=f"read from the text of {write_count(len(files), 'file')}, which did not run",
    )


def find_stored_data(texts: Mapping[str, str], bounds: Mapping[str, int], average: int | None) -> Iterator[Failure]:
    """Yield a failure for each file that holds more information than its bound, in bytes.

    If no file does, yield one for all files together when they hold more than ``average`` each. One long file is a
    style, but long files everywhere are a place for data.
    """
    sizes = {name: measure_information(text) for name, text in texts.items()}
    too_large = [name for name in texts if sizes[name] > bounds[name]]
    for name in too_large:
        yield _stored_data("The file holds", name, f"{name}: {sizes[name]:,} bytes", bounds[name])
    if average is None or too_large:
        return
    size, most = measure_information("".join(texts.values())), average * len(texts)
    if size > most:
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:LARGEST_NAMED]
        got = f"{size:,} bytes in {write_count(len(texts), 'file')}, most of it in {', '.join(largest)}"
        yield _stored_data("All files together hold", largest[0], got, most)


def measure_information(text: str) -> int:
    """Measure how many bytes a text takes once lzma has compressed it.

    Stored data keeps its size, however it is spelled: in digits, words, names, spaces or comments.
    """
    return len(lzma.compress(text.encode()))


def _stored_data(who: str, name: str, got: str, most: int) -> Failure:
    return Failure(
        title=f"{who} code and no stored data",
        got=f"{got}, compressed with lzma",
        expected=f"at most {most:,} bytes, more than twice what the course's own code holds",
        hint="Weights come from training, and tables from a computation. If it is all code and comments, delete "
        "whatever is left over from trying things out.",
        file=name,
    )


def _missing(name: str, why: str) -> Failure:
    return Failure(
        title="Every file of the course is handed in",
        got=f"{name}: {why}",
        expected="a plain UTF-8 file of Python",
        hint=f"Put it at {name}. The course's own version shows what to start from.",
        file=name,
    )
