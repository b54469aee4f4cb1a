"""A stand-in in the grader's process for a student's object in the worker."""

from __future__ import annotations

from typing import Any

_KEPT = {"eq", "ne", "lt", "le", "gt", "ge"}


class Proxy:
    """A stand-in for an object in the worker.

    Every use of the proxy is a call in the worker, and no such call decides anything in the grader.

    Comparisons return a proxy, even if the worker's answer is a plain value, and ``bool()`` raises an error. So a
    student's ``__eq__`` or ``__bool__`` cannot influence a verdict.
    """

    __slots__ = ("_handle", "_type_name", "_worker")
    __array_ufunc__ = None  # the proxy handles ndarray + proxy, not NumPy

    def __init__(self, worker: Any, handle: int, type_name: str):
        object.__setattr__(self, "_worker", worker)
        object.__setattr__(self, "_handle", handle)
        object.__setattr__(self, "_type_name", type_name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy, pickle and pytest's own inspection look for these
            raise AttributeError(name)
        return self._worker.request("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._worker.request("set", self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the object in the worker."""
        return self._worker.request("call", self, args, kwargs)

    def __len__(self) -> int:
        length = _run_operator_in_worker("len", self)
        if type(length) is not int or length < 0:
            raise TypeError(f"len() returned {length!r}, not a count")
        return length

    def __repr__(self) -> str:
        text = _run_operator_in_worker("repr", self)
        return text if type(text) is str else f"<{self._type_name}>"

    def __enter__(self) -> Any:
        return _run_operator_in_worker("enter", self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: Any) -> None:
        # An error in the block is reported to the worker and also raised here, whatever the student's object returns.
        _run_operator_in_worker("exit", self, None if error is None else str(error)[:1000])

    def __iter__(self) -> Any:
        items = _run_operator_in_worker("list", self)
        if type(items) is not list:
            raise TypeError(f"iterating over {self._type_name} did not produce a list")
        return iter(items)

    def __bool__(self) -> bool:
        raise TypeError(
            f"expected a plain value here, got an object of type {self._type_name}; "
            "a student's object has no truth value for the grader"
        )

    def __array__(self, *_args: Any, **_kwargs: Any) -> Any:
        raise TypeError(f"expected an array, got an object of type {self._type_name}; call its .numpy()")

    __hash__ = object.__hash__

    def __del__(self) -> None:
        self._worker.release_handle(self._handle)


def list_argument_names(function: Proxy) -> Any:
    """Ask the worker for a function's argument names. Student code can falsify them, so use them only in messages."""
    return _run_operator_in_worker("arguments", function)


def _run_operator_in_worker(name: str, *operands: Any) -> Any:
    """Run an operator in the operands' worker and return its result, which for a comparison is always a proxy."""
    worker = next(o for o in operands if isinstance(o, Proxy))._worker
    return worker.request("operate", name, operands, name in _KEPT)


def _make_operator(name: str) -> Any:
    """Make a method that runs an operator in the worker."""

    def apply_operator(self: Proxy, *others: Any) -> Any:
        """Apply the operator in the worker."""
        return _run_operator_in_worker(name, self, *others)

    return apply_operator


def _make_reflected_operator(name: str) -> Any:
    """Make a method that runs an operator with its operands swapped in the worker."""

    def apply_reflected_operator(self: Proxy, other: Any) -> Any:
        """Apply the operator in the worker, with its operands swapped."""
        return _run_operator_in_worker(name, other, self)

    return apply_reflected_operator


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(Proxy, f"__{_name}__", _make_operator(_name))
    setattr(Proxy, f"__r{_name}__", _make_reflected_operator(_name))
for _name in ("neg", "pos", "abs", "getitem", "setitem", *_KEPT):
    setattr(Proxy, f"__{_name}__", _make_operator(_name))
