"""Trace the operations that student code runs through `apply`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def traced(tensor_module: Any) -> Iterator[Any]:
    """Yield a `Trace` (module 02) that records every operation in the block, then restore the previous recorder."""
    trace = tensor_module.Trace()
    previous = tensor_module.set_recorder(trace)
    try:
        yield trace
    finally:
        tensor_module.set_recorder(previous)
