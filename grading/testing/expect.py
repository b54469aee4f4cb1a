"""Expectations for module tests. Each failure shows the call, the actual value, the expected value and a hint."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from grading.errors import GraderError
from grading.proxy import Proxy
from grading.remote import WorkerFailureError
from grading.render.text import prefix_text_with_label
from grading.testing.diagnose import describe_difference, explain_wrong_dtype

MAX_SIZE = 1 << 20
"""The maximum number of elements of an array in a test. It limits what the test itself computes on the array."""
SHOWN, EDGE, MOST_SHOWN, MAX_ROWS = 24, 3, 500, 10
"""The number of elements shown: all if there are at most SHOWN, otherwise EDGE at each end of an axis, up to
MOST_SHOWN.
"""
FEW = 12
"""The maximum number of elements of an array that are shown next to its shape if the shape is wrong."""

NO_ANSWER = (WorkerFailureError, GraderError)
"""Exceptions that a test must never mistake for one raised by student code."""


class Mismatch(AssertionError):  # noqa: N818 - reports show this name as a word
    """The error raised if a value is not what the task asks for."""

    def __init__(
        self,
        *,
        call: str,
        got: str,
        expected: str,
        hint: str | None = None,
        diagnosis: str | None = None,
        returned_nothing: bool = False,
    ):
        self.call, self.got, self.expected, self.hint = call, got, expected, hint
        self.diagnosis = diagnosis
        """A simple description of how the two values differ, if there is one."""
        self.returned_nothing = returned_nothing
        """Whether a call returned None instead of a value."""
        hints = " ".join(part for part in (diagnosis, hint) if part)
        parts = [("call:     ", call), ("got:      ", got), ("expected: ", expected), ("hint:     ", hints)]
        super().__init__("\n" + "\n".join(prefix_text_with_label(label, text) for label, text in parts if text))


def array(
    got: Any,
    expected: Any,
    *,
    call: str,
    hint: str | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    dtype: Any = None,
    dtype_hint: str | None = None,
    traps: Mapping[str, Any] | None = None,
) -> None:
    """Raise Mismatch unless the shape, the dtype (if given) and all values match, within ``atol + rtol * |expected|``.

    NaN equals NaN. ``hint`` is about shape and values. For a wrong dtype, ``dtype_hint`` or a general hint is shown.
    ``traps`` maps the hint for a common mistake to the values that the mistake produces. If the result has these
    values, that hint replaces all others.
    """
    actual = pull(got, call=call, hint=hint)
    wanted = np.asarray(expected)
    if actual.shape != wanted.shape:
        shown, other = (
            f"shape {values.shape}" + (f": {format_array(values)}" if values.size <= FEW else "")
            for values in (actual, wanted)
        )
        raise Mismatch(call=call, got=shown, expected=other, hint=hint, diagnosis=describe_difference(actual, wanted))
    if dtype is not None and actual.dtype != np.dtype(dtype):
        advice = dtype_hint or explain_wrong_dtype(actual.dtype, np.dtype(dtype))
        raise Mismatch(call=call, got=f"dtype {actual.dtype}", expected=f"dtype {np.dtype(dtype)}", hint=advice)
    close = np.isclose(actual, wanted, rtol=rtol, atol=atol, equal_nan=True)
    if not close.all():
        shown, other = format_both_arrays(actual, wanted, close)
        for advice, values in (traps or {}).items():
            if np.shape(values) == actual.shape and np.allclose(actual, values, rtol=max(rtol, 1e-4), atol=atol):
                raise Mismatch(call=call, got=shown, expected=other, hint=advice)
        raise Mismatch(call=call, got=shown, expected=other, hint=hint, diagnosis=describe_difference(actual, wanted))


def unchanged(tensor: Any, before: np.ndarray, *, call: str) -> None:
    """Expect a function not to have written into a tensor's array, which had the values ``before``."""
    hint = "the function changed its argument: `-=`, `/=` and `out=` write into an array, so make a new one first"
    now = values(tensor)  # the trap is whatever is in the array now, so that nothing else is said about the difference
    array(now, before, call=call, rtol=0, atol=0, hint=hint, traps={hint: now})


def equal(got: Any, expected: Any, *, call: str, hint: str | None = None) -> None:
    """Expect a plain value that has the same type and is equal: (2, 3) is not [2, 3], and 1 is not True."""
    if not is_same_value(got, expected):
        nothing = got is None and is_call_text(call)
        raise Mismatch(
            call=call, got=describe_value(got), expected=describe_value(expected), hint=hint, returned_nothing=nothing
        )


def that(condition: bool, *, call: str, got: Any, expected: str, hint: str | None = None) -> None:
    """Expect a condition to be true. The test itself must have computed it, not student code."""
    if isinstance(condition, Proxy):
        raise TypeError("a student's object cannot serve as a condition: get a plain value out of it first")
    if not condition:
        shown, nothing = got if isinstance(got, str) else describe_value(got), got is None and is_call_text(call)
        raise Mismatch(call=call, got=shown, expected=expected, hint=hint, returned_nothing=nothing)


@contextmanager
def raises(
    kind: type[Exception], *, call: str, mentions: tuple[str, ...] = (), hint: str | None = None
) -> Iterator[None]:
    """Expect the block to raise ``kind`` with a message that contains each of ``mentions``.

    An unfilled gap, or a worker that does not answer, is not turned into a Mismatch: its exception passes through.
    """
    wanted = kind.__name__ + (f" that mentions {' and '.join(mentions)}" if mentions else "")
    try:
        yield
    except kind as error:
        if isinstance(error, NO_ANSWER) or (is_gap(error) and kind is not NotImplementedError):
            raise
        if not all(part in str(error) for part in mentions):
            raise Mismatch(
                call=call, got=f"{get_exception_type_name(error)}: {error}", expected=wanted, hint=hint
            ) from error
    except Exception as error:
        if isinstance(error, NO_ANSWER) or is_gap(error):
            raise
        raise Mismatch(
            call=call, got=f"{get_exception_type_name(error)}: {error}", expected=wanted, hint=hint
        ) from error
    else:
        raise Mismatch(call=call, got="no exception", expected=wanted, hint=hint)


@contextmanager
def explain_errors(call: str, hint: str | Callable[[str], str]) -> Iterator[None]:
    """Turn an exception in student code into a Mismatch. The hint may depend on the exception's type and message.

    Failed comparisons, gaps and workers that do not answer are raised as they are.
    """
    try:
        yield
    except (Mismatch, *NO_ANSWER):
        raise
    except Exception as error:
        if is_gap(error):
            raise
        got = f"{get_exception_type_name(error)}: {error}"
        advice = hint if isinstance(hint, str) else hint(got)
        raise Mismatch(call=call, got=got, expected="no exception", hint=advice) from error


def pull(value: Any, *, call: str, hint: str | None = None) -> np.ndarray:
    """Return the values of a tensor, array, number or list as a genuine ndarray. Raise Mismatch for anything else.

    An array is returned itself, not a copy of it.
    """
    if type(value) is np.ndarray:
        return _require_bounded_size(value, call=call, hint=hint)
    if not isinstance(value, Proxy) and not hasattr(value, "numpy"):
        if isinstance(value, bool | int | float | np.generic | list | tuple) and not contains_non_numbers(value):
            return np.asarray(value)
        wanted, nothing = "a Tensor or an array", value is None and is_call_text(call)
        raise Mismatch(call=call, got=describe_value(value), expected=wanted, hint=hint, returned_nothing=nothing)
    try:
        values = value.numpy()
    except AttributeError:
        raise Mismatch(call=call, got=describe_value(value), expected="a Tensor (or an array)", hint=hint) from None
    if isinstance(values, np.generic):
        values = np.asarray(values)
    if _looks_like_array_of_none(values):  # the tensor of an op whose forward returned None
        raise Mismatch(call=call, got="None", expected="a Tensor or an array", hint=hint, returned_nothing=True)
    if type(values) is not np.ndarray:
        raise Mismatch(
            call=f"({call}).numpy()",
            got=describe_value(values),
            expected="a numpy.ndarray, of exactly that type",
            hint=hint,
        )
    return _require_bounded_size(values, call=call, hint=hint)


def _looks_like_array_of_none(values: Any) -> bool:
    """Return whether a value claims to be an array whose only element is None. Use this only for a hint."""
    if type(values) is np.ndarray:
        return values.dtype == object and values.ndim == 0 and values.item() is None
    try:
        return name_type(values) == "ndarray" and values.item() is None
    except Exception:  # a student's array may do anything
        return False


def _require_bounded_size(values: np.ndarray, *, call: str, hint: str | None) -> np.ndarray:
    """Return an array, or raise Mismatch if it is too large for a test."""
    if values.size > MAX_SIZE:
        wanted = f"an array of at most {MAX_SIZE:,} elements"
        raise Mismatch(call=call, got=f"an array of shape {values.shape}", expected=wanted, hint=hint)
    return values


def values(tensor: Any) -> np.ndarray:
    """Copy a tensor's values into an array that a test can compute with.

    A test that needs a tensor's shape uses the shape of this copy, because student code can misreport the tensor's
    shape.
    """
    return np.array(pull(tensor, call="a tensor's values"))


def format_array(values: np.ndarray) -> str:
    """Format an array in at most a few lines."""
    if values.size > SHOWN and math.prod(min(n, 2 * EDGE) for n in values.shape) > MOST_SHOWN:
        # NumPy shortens only long axes. With many short ones it would print every element.
        return f"{', '.join(str(v) for v in values.flat[:EDGE])}, … {values.size} values"
    return np.array2string(values, precision=6, threshold=SHOWN, edgeitems=EDGE, separator=", ")


def format_both_arrays(got: np.ndarray, expected: np.ndarray, close: np.ndarray) -> tuple[str, str]:
    """Format two arrays of the same shape in aligned columns or, if they are large, only their first wrong element.

    ``close`` says which elements are right; at least one is wrong. There are enough digits to show each difference.
    """
    rows = math.prod(got.shape[:-1]) + sum(math.prod(got.shape[:axis]) for axis in range(1, got.ndim - 1))
    if got.size > SHOWN or rows > MAX_ROWS:
        index = tuple(int(i) for i in np.argwhere(~close)[0])
        wrong = f"at index {index} ({int((~close).sum())} of {got.size} values differ)"
        ones, others = _format_aligned_columns([got[index].item()], [expected[index].item()], [False])
        return f"{ones[0]} {wrong}", others[0]
    columns = _format_aligned_columns(got.ravel().tolist(), expected.ravel().tolist(), close.ravel().tolist())
    one, other = (
        np.array2string(np.array(texts, object).reshape(got.shape), separator=", ", formatter={"all": str})
        for texts in columns
    )
    return one, other


def _format_aligned_columns(got: list[Any], expected: list[Any], close: list[bool]) -> tuple[list[str], list[str]]:
    """Format two lists of numbers to the same width, with enough digits that unequal numbers look different."""
    for digits in (6, 9, 17):
        texts = [f"{value:.{digits}g}" if isinstance(value, float) else str(value) for value in (*got, *expected)]
        ones, others = texts[: len(got)], texts[len(got) :]
        if all(same or one != other for one, other, same in zip(ones, others, close, strict=True)):
            break
    width = max(map(len, texts))
    return [text.rjust(width) for text in ones], [text.rjust(width) for text in others]


def describe_value(value: Any) -> str:
    """Describe a plain value by its text and type, and a student's object by the name of its type."""
    if isinstance(value, Proxy):
        return f"an object of type {name_type(value)}"
    if type(value) is np.ndarray:
        return f"{format_array(value)} (ndarray of shape {value.shape})"
    text = _BRIEF.repr(value)
    return f"{text if len(text) <= 400 else text[:400] + '…'} ({type(value).__name__})"


def name_type(value: Any) -> str:
    """Name a value's type. For a proxy, name the type of the student's object."""
    return object.__getattribute__(value, "_type_name") if isinstance(value, Proxy) else type(value).__name__


class _Brief(reprlib.Repr):
    """A formatter for values of any depth and length that takes bounded time.

    It shows arrays as `format_array` does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict = 10, 100, 100, 100
        self.maxstring = self.maxlong = self.maxother = 500

    def repr_ndarray(self, values: np.ndarray, _level: int) -> str:
        """Format an array as `array(…)` with a few numbers."""
        return f"array({format_array(values)})"


_BRIEF = _Brief()


def is_same_value(got: Any, expected: Any) -> bool:
    """Return whether two plain values have the same types and values at every level of nesting."""
    if type(got) is not type(expected):
        return False
    if isinstance(expected, list | tuple):
        return len(got) == len(expected) and all(map(is_same_value, got, expected))
    if isinstance(expected, dict):
        return got.keys() == expected.keys() and all(is_same_value(got[k], v) for k, v in expected.items())
    if isinstance(expected, np.ndarray):
        return got.dtype == expected.dtype and bool(np.array_equal(got, expected, equal_nan=got.dtype.kind == "f"))
    if isinstance(expected, float) and expected != expected:
        return got != got
    return bool(got == expected)


def is_call_text(call: str) -> bool:
    """Return whether this text describes what a call returns, not an attribute such as `x.grad` or a later state."""
    return "(" in call and re.search(r"\.grad\b|gradient of|gradient after|\bafter\b", call) is None


def contains_non_numbers(value: Any) -> bool:
    """Return whether nested lists contain anything that is not a number."""
    if isinstance(value, list | tuple):
        return any(map(contains_non_numbers, value))
    return not isinstance(value, bool | int | float | np.generic)


def is_gap(error: BaseException) -> bool:
    """Return whether an exception comes from a task that has not been implemented yet."""
    return isinstance(error, NotImplementedError) and str(error).startswith("Task ")


def get_exception_type_name(error: BaseException) -> str:
    """Return an exception's type name. If it reports an exception in the worker, return that one's."""
    return getattr(error, "remote_type", type(error).__name__)
