"""A student's object as the grader holds it: a name for something in the worker that looks like the thing itself."""

from __future__ import annotations

from typing import Any

_KEPT = {"eq", "ne", "lt", "le", "gt", "ge"}


class Proxy:
    """An object in the worker. Using it is a call there; it decides nothing here.

    Comparisons give another proxy, even where the worker's answer would be plain, and ``bool()`` raises: so no
    ``__eq__`` or ``__bool__`` of the student's takes part in a verdict.
    """

    __slots__ = ("_handle", "_type_name", "_worker")
    __array_ufunc__ = None  # ndarray + proxy is the proxy's business, not NumPy's

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
        """Call the thing, there."""
        return self._worker.request("call", self, args, kwargs)

    def __len__(self) -> int:
        length = _operate("len", self)
        if type(length) is not int or length < 0:
            raise TypeError(f"len() gave {length!r}, not a count")
        return length

    def __repr__(self) -> str:
        text = _operate("repr", self)
        return text if type(text) is str else f"<{self._type_name}>"

    def __enter__(self) -> Any:
        return _operate("enter", self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: Any) -> None:
        # What went wrong in the block is told over there and raised on here, whatever the student's object says to it.
        _operate("exit", self, None if error is None else str(error)[:1000])

    def __iter__(self) -> Any:
        items = _operate("list", self)
        if type(items) is not list:
            raise TypeError(f"iterating over {self._type_name} did not give a list")
        return iter(items)

    def __bool__(self) -> bool:
        raise TypeError(
            f"expected a plain value here, got an object of type {self._type_name}; "
            "a student's object has no truth value for the grader"
        )

    def __array__(self, *_args: Any, **_kwargs: Any) -> Any:
        raise TypeError(f"expected an array, got an object of type {self._type_name}; ask it for .numpy()")

    __hash__ = object.__hash__

    def __del__(self) -> None:
        self._worker.forget(self._handle)


def list_argument_names(function: Proxy) -> Any:
    """What a function there calls its arguments: a claim, good for words."""
    return _operate("arguments", function)


def _operate(name: str, *operands: Any) -> Any:
    worker = next(o for o in operands if isinstance(o, Proxy))._worker
    return worker.request("operate", name, operands, name in _KEPT)


def _forward(name: str) -> Any:
    def method(self: Proxy, *others: Any) -> Any:
        return _operate(name, self, *others)

    return method


def _reflected(name: str) -> Any:
    def method(self: Proxy, other: Any) -> Any:
        return _operate(name, other, self)

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(Proxy, f"__{_name}__", _forward(_name))
    setattr(Proxy, f"__r{_name}__", _reflected(_name))
for _name in ("neg", "pos", "abs", "getitem", "setitem", *_KEPT):
    setattr(Proxy, f"__{_name}__", _forward(_name))
