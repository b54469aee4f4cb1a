"""What a student's file imports, and whether it stores data. Read from the text; nothing is run."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator

from grading.manifest.model import Manifest, Module
from grading.result import Failure

HARMLESS = frozenset(
    "__future__ abc collections dataclasses enum functools itertools math numbers operator typing warnings".split()
)
"""Part of the language as far as this course goes: they reach neither the system nor somebody else's framework."""
HIDING = frozenset("__import__ __builtins__ __loader__ __spec__ compile eval exec".split())
"""Names that would let a file import or run what its text does not show."""
REACHING = HIDING - {"compile", "eval", "exec"} | frozenset("__globals__ __subclasses__ __code__ __closure__".split())
"""The same as attributes, and what leads there from any function or class: `numpy.__builtins__`."""

OFFERED = {"numba": frozenset("njit prange vectorize boolean float32 float64 int32 int64 uint8".split())}
"""Packages of which a file may import these names and no others: the rest of Numba takes addresses for arrays, calls
back into Python from compiled code, adds to the compiler itself, or is LLVM."""

MOST_TEXT, MOST_NUMBERS = 10_000, 500
"""In one file: characters in strings that are no docstrings, and numbers. A skeleton's hints take half of it."""
LONG_WORD, MOST_IN_LONG_WORDS = 30, 1000
"""Characters without a space, as no prose has them, and how many of such there may be in all strings together."""


def audit(text: str, path: str, module: Module, manifest: Manifest, *, recipe: bool = False) -> list[Failure]:
    """Every import the file may not make, and every name that would hide one; a syntax error is one failure."""
    if (encoding := _declared_encoding(text)) not in ("utf-8", "utf-8-sig"):
        return [_other_encoding(encoding, path)]
    try:
        tree = ast.parse(text.removeprefix("\ufeff"), path)  # some editors write a byte order mark; Python skips it
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [_syntax(error, path)]
    allowed = HARMLESS | set(module.imports)
    earlier = {m.name: m for m in manifest.modules if m.number < module.number or (recipe and m.id == module.id)}
    return [
        Failure(
            title="The file imports only what this module allows",
            got=f"{path}:{line}: {what}",
            expected=_allowed_words(allowed, earlier),
            hint=why,
            file=path,
            line=line,
        )
        for line, what, why in _violations(tree, allowed, earlier, manifest)
    ] + [_stored(what, path) for what in stored_data(tree)]


def stored_data(tree: ast.AST) -> Iterator[str]:
    """What would hold numbers in the text of a file: weights of a trained network, say, or answers."""
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    documented = {  # by identity: nodes do not compare
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    texts = [(node, node.value) for node in constants if isinstance(node.value, str | bytes)]
    length = sum(len(text) for node, text in texts if id(node) not in documented)
    if length > MOST_TEXT:
        yield f"{length:,} characters of text in strings that are no docstrings"
    coded = sum(len(word) for _, text in texts for word in text.split() if len(word) > LONG_WORD)
    if coded > MOST_IN_LONG_WORDS:
        yield f"{coded:,} characters in words of more than {LONG_WORD}, in strings"
    numbers = sum(isinstance(node.value, int | float | complex) for node in constants)
    if numbers > MOST_NUMBERS:
        yield f"{numbers:,} numbers"


def _stored(what: str, path: str) -> Failure:
    return Failure(
        title="The file holds code, and no stored data",
        got=f"{path}: {what}",
        expected=f"at most {MOST_TEXT:,} characters in strings, {MOST_IN_LONG_WORDS:,} of them in words of more than "
        f"{LONG_WORD}, and {MOST_NUMBERS} numbers",
        hint="Weights come from training, and tables from a computation.",
        file=path,
    )


def _violations(
    tree: ast.AST, allowed: set[str] | frozenset[str], earlier: dict[str, Module], manifest: Manifest
) -> Iterator[tuple[int, str, str]]:
    later = {m.name: m for m in manifest.modules if m.name not in earlier}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "a relative import", "Write the whole name: from tinytorch.tensor import Tensor."
                continue
            base = node.module or ""
            whole = base.partition(".")[0] not in ("tinytorch", *OFFERED) or base.startswith("tinytorch.")
            names = [base] if whole else [f"{base}.{a.name}" for a in node.names]
        elif isinstance(node, ast.Name) and node.id in HIDING:
            yield node.lineno, node.id, f"`{node.id}` can run what the file does not show; write the code itself."
            continue
        elif isinstance(node, ast.Attribute) and node.attr in REACHING:
            yield node.lineno, f".{node.attr}", f"`{node.attr}` leads to what the file does not show; leave it alone."
            continue
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "tinytorch":
                part = rest.partition(".")[0]
                if part in later:
                    yield node.lineno, f"import of {name}", f"It comes in {later[part].id}: don't import the future."
                elif part not in earlier:
                    yield node.lineno, f"import of {name}", "The course has no such module; is the name right?"
            elif top not in allowed:
                yield node.lineno, f"import of {name}", f"`{top}` is not part of this module; write it with NumPy."
            elif top in OFFERED and rest not in OFFERED[top]:
                yield node.lineno, f"import of {name}", f"Write `from {top} import njit`; no other door of it is open."


def _allowed_words(allowed: set[str] | frozenset[str], earlier: dict[str, Module]) -> str:
    own = [f"tinytorch.{name}" for name in earlier]
    return "only " + ", ".join(
        sorted(allowed - HARMLESS) + own + ["and Python's own small helpers such as math, typing"]
    )


def _declared_encoding(text: str) -> str:
    """What the file says of itself in its first lines: Python runs that, whatever the audit has read."""
    try:
        return tokenize.detect_encoding(io.BytesIO(text.encode()).readline)[0]
    except SyntaxError:
        return "unknown"


def _other_encoding(encoding: str, path: str) -> Failure:
    return Failure(
        title="The file is UTF-8, and says nothing else of itself",
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
    return Failure(
        title="The file is valid Python",
        got=f"{type(error).__name__}: {error}" if not isinstance(error, RecursionError) else "it is nested too deeply",
        expected="a file that Python can read",
        file=path,
    )
