"""Watching which operations student code runs through `apply`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def traced(tensor_module: Any) -> Iterator[Any]:
    """A `Trace` of module 02 that listens to every operation in the block; then the recorder before it again."""
    trace = tensor_module.Trace()
    previous = tensor_module.set_recorder(trace)
    try:
        yield trace
    finally:
        tensor_module.set_recorder(previous)
