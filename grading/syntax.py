"""Whether a student's file is Python, read from its text; nothing is run."""

from __future__ import annotations

import ast
import io
import tokenize

from grading.result import Failure


def parse(text: str, path: str) -> ast.Module | Failure:
    """The file's syntax tree, or what is wrong with it as a file of Python."""
    if (encoding := _declared_encoding(text)) not in ("utf-8", "utf-8-sig"):
        return _other_encoding(encoding, path)
    try:
        return ast.parse(text.removeprefix("\ufeff"), path)  # some editors write a byte order mark; Python skips it
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return _syntax(error, path)


def _declared_encoding(text: str) -> str:
    """What the file says of itself in its first lines: Python runs that, whatever the audit has read."""
    try:
        return tokenize.detect_encoding(io.BytesIO(text.encode()).readline)[0]
    except SyntaxError:
        return "unknown"


def _other_encoding(encoding: str, path: str) -> Failure:
    return Failure(
        title="The file is UTF-8 and declares no other encoding",
        got=f"{path}: a `coding:` comment declares it to be {encoding}",
        expected="UTF-8, Python's own encoding, without such a comment",
        hint="Delete the `coding:` comment in the first two lines; as declared, the file would say something else.",
        file=path,
        line=1,
    )


def _syntax(error: Exception, path: str) -> Failure:
    if isinstance(error, SyntaxError):
        shown = (error.text or "").rstrip()[:200]
        column = max((error.offset or 1) - 1 - (len(shown) - len(shown.lstrip())), 0)
        pointed = f"{shown.strip()}\n{' ' * column}^" if shown.strip() else None
        return Failure(
            title="The file is valid Python",
            got=f"{type(error).__name__}: {error.msg} ({path}, line {error.lineno or 1})",
            expected="a file that Python can read",
            hint="Python points at the line where it stopped understanding; the mistake may be just before it.",
            file=path,
            line=error.lineno or 1,
            detail=pointed,
        )
    deep = isinstance(error, RecursionError | MemoryError)
    return Failure(
        title="The file is valid Python",
        got="it is nested too deeply" if deep else f"{type(error).__name__}: {error}",
        expected="a file that Python can read",
        hint="Break the longest expression into several lines."
        if deep
        else "Something in the file is no text: delete it.",
        file=path,
    )
