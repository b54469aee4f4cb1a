"""Explain how an array differs from the expected one, for example by a flipped sign or a missing factor or axis."""

from __future__ import annotations

import numpy as np

RTOL, ATOL = 1e-4, 1e-6
COMMON = {2: "2", 0.5: "1/2", 3: "3", 1 / 3: "1/3", 4: "4", 0.25: "1/4"}


def describe_difference(got: np.ndarray, expected: np.ndarray) -> str | None:
    """Describe in one sentence how two arrays differ; return None if there is no simple description."""
    if got.dtype.kind not in "fiub" or expected.dtype.kind not in "fiub":
        return None
    if got.shape != expected.shape:
        return _describe_shape_difference(got, expected)
    one, other = got.astype(np.float64), expected.astype(np.float64)
    with np.errstate(all="ignore"):
        return _describe_element_differences(one, other)


def explain_wrong_dtype(got: np.dtype, expected: np.dtype) -> str:
    """Suggest in one or two sentences why a value has the wrong dtype."""
    ours, theirs = np.dtype(got), np.dtype(expected)
    if ours.kind == theirs.kind == "f":
        if ours.itemsize > theirs.itemsize:
            return (
                f"An operand of dtype {ours} promotes the result. np.zeros, np.arange with a float step and np.float64 "
                "give float64 by default; Python's own numbers do not promote."
            )
        return f"Some step converts {theirs} to {ours} and loses digits."
    if theirs.kind == "f" and ours.kind != "b":
        return f"The result is an integer array, but it may have to hold fractions. Compute in {theirs}."
    if ours.kind == "f" and theirs.kind != "b":
        return f"Integers became {ours}: look for a division, a mean, or an array created without a dtype."
    if "b" in (ours.kind, theirs.kind):
        return f"The result contains {'booleans' if ours.kind == 'b' else 'numbers'}, but it should contain {theirs}."
    return f"The dtype is {ours}, but the task asks for {theirs}."


def _describe_shape_difference(got: np.ndarray, expected: np.ndarray) -> str | None:
    """Describe how two arrays' shapes differ; return None if it is not one of the common mistakes."""
    ours, theirs = got.shape, expected.shape
    if tuple(n for n in ours if n != 1) == tuple(n for n in theirs if n != 1):
        which = "An axis of size 1 is missing" if len(ours) < len(theirs) else "There is an extra axis of size 1"
        return f"{which}: check keepdims, reshape or None (np.newaxis)." if len(ours) != len(theirs) else None
    if ours == theirs[::-1]:
        return "Rows and columns are swapped: a transpose is missing, or there is one too many."
    if len(ours) == 2 and ours[0] == ours[1] and ours[0] in theirs and got.size > expected.size:
        return f"Broadcasting made a matrix: shape ({ours[0]}, 1) was combined with shape ({ours[0]},)."
    if got.size == 1 and expected.size > 1:
        return "The result is a single number: it was reduced over every axis."
    if len(ours) > len(theirs):
        return "The result still has an axis that should be summed or averaged."
    if got.size == expected.size:
        return "The number of elements is correct, but the axes are in the wrong order."
    return None


def _describe_element_differences(got: np.ndarray, expected: np.ndarray) -> str | None:
    """Describe how the elements of arrays of one shape differ; return None if it is not one of the common mistakes."""
    wrong = ~np.isclose(got, expected, rtol=RTOL, atol=ATOL, equal_nan=True)
    if np.isnan(got[wrong]).any() and not np.isnan(expected).any():
        return "The result contains NaN: look for inf - inf, 0 · inf, 0 / 0, or the log or root of a negative number."
    if np.isinf(got[wrong]).any() and np.isfinite(expected).all():
        return "The result contains infinity: look for an overflow or a division by 0."
    finite = np.isfinite(got).all() and np.isfinite(expected).all()
    if got.size < 2 or not finite or not wrong.any():
        return _describe_single_difference(got, expected) if finite and wrong.any() else None
    if not got.any():
        return "Every element is 0: the result is never filled in, or it is multiplied by 0."
    if np.ptp(expected) == 0:  # any error could be a factor or an offset
        return None
    if np.ptp(got) == 0 and got.size >= 4:  # a few equal numbers may be a coincidence
        return "All elements are the same, regardless of the input."
    factor = _describe_common_factor(got, expected)
    if factor is not None:
        return factor
    offset = got - expected
    if np.ptp(offset) <= 1e-6 + 1e-4 * abs(offset.flat[0]):
        return f"Every element is {abs(offset.flat[0]):.4g} too {'large' if offset.flat[0] > 0 else 'small'}."
    if np.array_equal(got, np.trunc(expected)) or np.array_equal(got, np.floor(expected)):
        return "The fractional parts are lost: look for an integer dtype, or for `//` instead of `/`."
    if np.allclose(np.abs(got), np.abs(expected), rtol=RTOL, atol=ATOL):
        return "Only signs are wrong."
    if got.ndim == 2 and got.shape[0] == got.shape[1] and np.allclose(got.T, expected, rtol=RTOL, atol=ATOL):
        return "Rows and columns are swapped: a transpose is missing, or there is one too many."
    if np.allclose(np.sort(got, axis=None), np.sort(expected, axis=None), rtol=RTOL, atol=ATOL):
        return "The values are correct, but their order is wrong."
    return _describe_wrong_region(wrong)


def _describe_single_difference(got: np.ndarray, expected: np.ndarray) -> str | None:
    """Describe how a single number differs if its sign is wrong or if it is off by a common factor."""
    one, other = float(got.flat[0]), float(expected.flat[0])
    if other == 0 or one == 0:
        return None
    if np.isclose(one, -other, rtol=RTOL, atol=ATOL):
        return "The sign is wrong."
    ratio = next(
        (words for factor, words in COMMON.items() if np.isclose(one, factor * other, rtol=RTOL, atol=ATOL)), None
    )
    return f"It is {ratio} times what it should be." if ratio else None


def _describe_common_factor(got: np.ndarray, expected: np.ndarray) -> str | None:
    """Describe the factor by which all elements differ; return None if there is no such factor."""
    where = np.abs(expected) > 1e-6
    if where.sum() < 2 or not np.allclose(got[~where], 0, atol=1e-5):
        return None
    ratios = got[where] / expected[where]
    factor = float(np.median(ratios))
    if not np.allclose(ratios, factor, rtol=1e-3) or factor == 0:
        return None
    if np.isclose(factor, -1, rtol=1e-3):
        return "Every sign is wrong."
    close = next((n for n in range(2, 1025) if np.isclose(factor, 1 / n, rtol=1e-4)), None)
    shown = f"1/{close}" if close else f"{factor:.4g}"
    return (
        f"Every element is {shown} times what it should be: a factor, such as the 1/n of a mean, is missing or extra."
    )


def _describe_wrong_region(wrong: np.ndarray) -> str | None:
    """Describe where the wrong elements are if all of them are at one end of an axis."""
    for axis, size in enumerate(wrong.shape):
        others = tuple(a for a in range(wrong.ndim) if a != axis)
        places = np.flatnonzero(wrong.any(axis=others))
        if size > 2 and len(places) == 1 and places[0] in (0, size - 1):
            end = "first" if places[0] == 0 else "last"
            return f"Only the {end} {'element' if wrong.ndim == 1 else f'slice along axis {axis}'} is wrong."
    return None
