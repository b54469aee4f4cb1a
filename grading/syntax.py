"""Check that a student's file is valid Python by reading its text. Nothing is run."""

from __future__ import annotations

import ast
import io
import tokenize

from grading.result import Failure

SYNTAX_HINT = "Python points to the line that it could not understand. The mistake may be just before it."


def parse_source(text: str, path: str) -> ast.Module | Failure:
    """Parse a file's text. Return its tree, or the failure if it is not valid Python or declares another encoding."""
    if (encoding := _find_declared_encoding(text)) not in ("utf-8", "utf-8-sig"):
        return _explain_encoding_comment(encoding, path)
    try:
        return ast.parse(text.removeprefix("\ufeff"), path)  # some editors write a byte order mark, which Python skips
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return _explain_syntax_error(error, path)


def _find_declared_encoding(text: str) -> str:
    """Find the encoding that a file declares in its first lines: "utf-8" by default, or "unknown" if it is invalid."""
    try:
        return tokenize.detect_encoding(io.BytesIO(text.encode()).readline)[0]
    except SyntaxError:
        return "unknown"


def _explain_encoding_comment(encoding: str, path: str) -> Failure:
    """Explain that a file declares an encoding that is not UTF-8."""
    return Failure(
        title="The file is UTF-8 and does not declare any other encoding",
        got=f"{path}: a `coding:` comment declares it to be {encoding}",
        expected="UTF-8, which is Python's default encoding, without such a comment",
        hint="Delete the `coding:` comment in the first two lines. With it, Python would read the file differently.",
        file=path,
        line=1,
    )


def _explain_syntax_error(error: Exception, path: str) -> Failure:
    """Explain why a file cannot be parsed."""
    if isinstance(error, SyntaxError):
        shown = (error.text or "").rstrip()[:200]
        column = max((error.offset or 1) - 1 - (len(shown) - len(shown.lstrip())), 0)
        pointed = f"{shown.strip()}\n{' ' * column}^" if shown.strip() else None
        return Failure(
            title="The file must be valid Python",
            got=f"{type(error).__name__}: {error.msg} ({path}, line {error.lineno or 1})",
            expected="a file that Python can read",
            hint=SYNTAX_HINT,
            file=path,
            line=error.lineno or 1,
            detail=pointed,
        )
    deep = isinstance(error, RecursionError | MemoryError)
    return Failure(
        title="The file must be valid Python",
        got="it is nested too deeply" if deep else f"{type(error).__name__}: {error}",
        expected="a file that Python can read",
        hint="Break the longest expression into several lines."
        if deep
        else "The file contains something that is not text. Delete it.",
        file=path,
    )
