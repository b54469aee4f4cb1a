"""What a module test says about a value: one failure form with the call, what came back, what was expected, a hint."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from grading.errors import GraderError
from grading.proxy import Proxy
from grading.remote import WorkerFailureError
from grading.render.text import labelled

MAX_SIZE = 1 << 20
"""Elements of an array in a test: what the judge makes of it, in float64 or for each index, has an end with it."""
SHOWN, EDGE, MOST_SHOWN = 24, 3, 500
"""Elements of an array that are written out; of a longer one so many at each end of an axis, but no more in all."""

NO_ANSWER = (WorkerFailureError, GraderError)
"""What no test may take for an exception of student code."""


class Mismatch(AssertionError):  # noqa: N818 - it is read as a word in a report, not raised by callers
    """A value is not what the task asks for."""

    def __init__(self, *, call: str, got: str, expected: str, hint: str | None = None):
        self.call, self.got, self.expected, self.hint = call, got, expected, hint
        parts = [("call:     ", call), ("got:      ", got), ("expected: ", expected), ("hint:     ", hint)]
        super().__init__("\n" + "\n".join(labelled(label, text) for label, text in parts if text))


def array(
    got: Any,
    expected: Any,
    *,
    call: str,
    hint: str | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    dtype: Any = None,
) -> None:
    """Shape, then dtype (when given), then every value within ``atol + rtol * |expected|``; NaN equals NaN."""
    actual = pull(got, call=call, hint=hint)
    wanted = np.asarray(expected)
    if actual.shape != wanted.shape:
        raise Mismatch(
            call=call,
            got=f"shape {actual.shape}: {show(actual)}",
            expected=f"shape {wanted.shape}: {show(wanted)}",
            hint=hint,
        )
    if dtype is not None and actual.dtype != np.dtype(dtype):
        raise Mismatch(call=call, got=f"dtype {actual.dtype}", expected=f"dtype {np.dtype(dtype)}", hint=hint)
    close = np.isclose(actual, wanted, rtol=rtol, atol=atol, equal_nan=True)
    if not close.all():
        raise Mismatch(call=call, got=show(actual, close), expected=show(wanted, close), hint=hint)


def equal(got: Any, expected: Any, *, call: str, hint: str | None = None) -> None:
    """Plain values of the same type and value; (2, 3) is not [2, 3] and 1 is not True."""
    if not same(got, expected):
        raise Mismatch(call=call, got=describe(got), expected=describe(expected), hint=hint)


def that(condition: bool, *, call: str, got: Any, expected: str, hint: str | None = None) -> None:
    """Anything else that is true or false on the judge's side."""
    if isinstance(condition, Proxy):
        raise TypeError("a student's object decides nothing: pull a plain value out of it first")
    if not condition:
        raise Mismatch(call=call, got=got if isinstance(got, str) else describe(got), expected=expected, hint=hint)


@contextmanager
def raises(
    kind: type[Exception], *, call: str, mentions: tuple[str, ...] = (), hint: str | None = None
) -> Iterator[None]:
    """The block raises ``kind``, with a message that contains each of ``mentions``."""
    wanted = kind.__name__ + (f" that mentions {' and '.join(mentions)}" if mentions else "")
    try:
        yield
    except kind as error:
        if isinstance(error, NO_ANSWER) or (is_gap(error) and kind is not NotImplementedError):
            raise
        if not all(part in str(error) for part in mentions):
            raise Mismatch(call=call, got=f"{name_of(error)}: {error}", expected=wanted, hint=hint) from error
    except Exception as error:
        if isinstance(error, NO_ANSWER) or is_gap(error):
            raise
        raise Mismatch(call=call, got=f"{name_of(error)}: {error}", expected=wanted, hint=hint) from error
    else:
        raise Mismatch(call=call, got="no exception", expected=wanted, hint=hint)


def pull(value: Any, *, call: str, hint: str | None = None) -> np.ndarray:
    """A tensor's, number's or list's values as an exact ndarray on the judge's side."""
    if type(value) is np.ndarray:
        return _require_bounded_size(value, call=call, hint=hint)
    if not isinstance(value, Proxy) and not hasattr(value, "numpy"):
        if isinstance(value, bool | int | float | np.generic | list | tuple) and not has_objects(value):
            return np.asarray(value)
        raise Mismatch(call=call, got=describe(value), expected="a Tensor or an array", hint=hint)
    try:
        values = value.numpy()
    except AttributeError:
        raise Mismatch(call=call, got=describe(value), expected="a Tensor (or an array)", hint=hint) from None
    if isinstance(values, np.generic):
        values = np.asarray(values)
    if type(values) is not np.ndarray:
        raise Mismatch(
            call=f"({call}).numpy()", got=describe(values), expected="a numpy.ndarray, not something like it", hint=hint
        )
    return _require_bounded_size(values, call=call, hint=hint)


def _require_bounded_size(values: np.ndarray, *, call: str, hint: str | None) -> np.ndarray:
    if values.size > MAX_SIZE:
        wanted = f"no array of more than {MAX_SIZE:,} elements"
        raise Mismatch(call=call, got=f"an array of shape {values.shape}", expected=wanted, hint=hint)
    return values


def values(tensor: Any) -> np.ndarray:
    """A copy of a tensor's values on the judge's side, where they can be computed with.

    A test that needs an array as large as a tensor asks these for their shape: the tensor's own is only a claim.
    """
    return np.array(pull(tensor, call="a tensor's values"))


def show(values: np.ndarray, close: np.ndarray | None = None) -> str:
    """An array in at most a few lines; a long one shows where the first wrong value is."""
    if values.size > SHOWN and math.prod(min(n, 2 * EDGE) for n in values.shape) > MOST_SHOWN:
        # NumPy shortens long axes only; of many short ones it would write every element.
        return f"{', '.join(str(v) for v in values.flat[:EDGE])}, … {values.size} values"
    if values.size <= SHOWN or close is None:
        return np.array2string(values, precision=6, threshold=SHOWN, edgeitems=EDGE, separator=", ")
    index = tuple(int(i) for i in np.argwhere(~close)[0])
    wrong = int((~close).sum())
    return f"{values[index]} at index {index} ({wrong} of {values.size} values differ)"


def describe(value: Any) -> str:
    """A plain value with its type; a student's object by its type's name alone."""
    if isinstance(value, Proxy):
        return f"an object of type {name_type(value)}"
    if type(value) is np.ndarray:
        return f"{show(value)} (ndarray of shape {value.shape})"
    text = _BRIEF.repr(value)
    return f"{text if len(text) <= 400 else text[:400] + '…'} ({type(value).__name__})"


def name_type(value: Any) -> str:
    """The name of a value's type where it lives: a student's object is a Tensor, not the proxy that stands for it."""
    return object.__getattribute__(value, "_type_name") if isinstance(value, Proxy) else type(value).__name__


class _Brief(reprlib.Repr):
    """Values of any depth and length in bounded time: arrays among them as `show` writes them."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict = 10, 100, 100, 100
        self.maxstring = self.maxlong = self.maxother = 500

    def repr_ndarray(self, values: np.ndarray, _level: int) -> str:
        """`array(…)` of a few numbers."""
        return f"array({show(values)})"


_BRIEF = _Brief()


def same(got: Any, expected: Any) -> bool:
    """Equality of exact plain types, all the way down."""
    if type(got) is not type(expected):
        return False
    if isinstance(expected, list | tuple):
        return len(got) == len(expected) and all(map(same, got, expected))
    if isinstance(expected, dict):
        return got.keys() == expected.keys() and all(same(got[k], v) for k, v in expected.items())
    if isinstance(expected, np.ndarray):
        return got.dtype == expected.dtype and bool(np.array_equal(got, expected, equal_nan=got.dtype.kind == "f"))
    if isinstance(expected, float) and expected != expected:
        return got != got
    return bool(got == expected)


def has_objects(value: Any) -> bool:
    """Whether anything in nested lists is not a number."""
    if isinstance(value, list | tuple):
        return any(map(has_objects, value))
    return not isinstance(value, bool | int | float | np.generic)


def is_gap(error: BaseException) -> bool:
    """Whether this is a task that has not been written yet."""
    return isinstance(error, NotImplementedError) and str(error).startswith("Task ")


def name_of(error: BaseException) -> str:
    """The exception's name on the student's side."""
    return getattr(error, "remote_type", type(error).__name__)
