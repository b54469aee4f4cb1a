"""A pytest plugin that runs the mutated task's tests first, because they are most likely to notice the mutant."""

from __future__ import annotations

import os

import pytest

FIRST = "TINYTORCH_FIRST_TASK"
"""The environment variable that contains the task's number."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the mutated task's tests to the front, without changing the order of the others."""
    first = os.environ.get(FIRST)
    items.sort(key=lambda item: all(mark.args[0] != first for mark in item.iter_markers("task")))
