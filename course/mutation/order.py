"""A pytest plugin: the tests of the mutated task run first, since they are the likeliest to notice."""

from __future__ import annotations

import os

import pytest

FIRST = "TINYTORCH_FIRST_TASK"
"""The environment variable that names the task."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of that task to the front; within it and after it their order stays."""
    first = os.environ.get(FIRST)
    items.sort(key=lambda item: all(mark.args[0] != first for mark in item.iter_markers("task")))
