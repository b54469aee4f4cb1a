"""The pytest plugin of module tests: the fixtures `student`, `rng` and the mark `task`.

Without a grader the student's code runs in this process, for a fast loop and a debugger. The grader puts a source
of workers in the configuration's stash, and the same tests run against those.
"""

from __future__ import annotations

import importlib
import importlib.util
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

STUDENTS = pytest.StashKey[Any]()
SEED = pytest.StashKey[int]()


class DirectStudent:
    """The student's code in this process: `student.tensor` is `tinytorch.tensor`."""

    def __init__(self, root: Path, new_folder: Callable[[], Path]):
        self._root, self._new_folder = root, new_folder

    def __getattr__(self, name: str) -> ModuleType:
        full = f"tinytorch.{name}"
        try:
            module = importlib.import_module(full)
        except ModuleNotFoundError as error:
            if error.name == "numba":
                pytest.fail(f'{full} needs Numba. Install it once: pip install "numba>=0.61"', pytrace=False)
            if error.name not in (full, "tinytorch"):
                raise
            pytest.fail(f"{full} cannot be imported. Install the course once: pip install -e .", pytrace=False)
        home = (self._root / "modules").resolve()
        if home not in Path(module.__file__ or "").resolve().parents:
            pytest.fail(
                f"{full} comes from {module.__file__}, not from this repository. Here, run: pip install -e .",
                pytrace=False,
            )
        return module

    def recipe(self, module_id: str) -> ModuleType:
        """The recipe.py of a trigger module."""
        path = self._root / "modules" / module_id / "recipe.py"
        spec = importlib.util.spec_from_file_location(f"recipe_{module_id}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @staticmethod
    def rng(seed: int) -> np.random.Generator:
        """A generator on the student's side."""
        return np.random.default_rng(seed)

    def folder(self) -> Path:
        """A new, empty folder for the files of one test."""
        return self._new_folder()

    @staticmethod
    def hold(thing: Any, name: str) -> Any:
        """An attribute itself, on the student's side, where pulling it would make a copy."""
        return getattr(thing, name)

    @staticmethod
    def hold_result(function: Callable[..., Any], *arguments: Any) -> Any:
        """What a call returns, likewise: a dict or an array stays there, and what happens to it can be seen."""
        return function(*arguments)

    @staticmethod
    def define(function: Callable[..., Any]) -> Any:
        """A function of a test's own on the student's side, where it may start threads or wait for some."""
        return function

    @staticmethod
    def lives(thing: Any, name: str) -> Callable[[], bool]:
        """A function that tells whether anything on the student's side still keeps an attribute alive."""
        reference = weakref.ref(getattr(thing, name))
        return lambda: reference() is not None


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--task 2.3`: while one task is being written, the failures of those to come only bury its own."""
    parser.getgroup("tinytorch").addoption(
        "--task", action="append", default=[], metavar="ID", help="only the tests of this task, such as 2.3"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of other tasks. UsageError when none is left."""
    if wanted := set(config.getoption("--task")):
        kept = [item for item in items if any(mark.args[0] in wanted for mark in item.iter_markers("task"))]
        if items and not kept:
            raise pytest.UsageError(f"no test here belongs to task {', '.join(sorted(wanted))}")
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark, so that --strict-markers knows it."""
    config.addinivalue_line("markers", "task(id): the task of the module this test belongs to, such as 2.3")


@pytest.fixture
def student(request: pytest.FixtureRequest) -> Any:
    """The student's side: `student.tensor`, `student.recipe("04_layers")`, `student.rng(0)`, `student.folder()`."""
    students = request.config.stash.get(STUDENTS, None)
    if students is not None:
        return students.student()

    def new_folder() -> Path:
        return request.getfixturevalue("tmp_path_factory").mktemp("student")

    return DirectStudent(request.config.rootpath, new_folder)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random inputs on the judge's side: the same for the same seed and test, different for every test."""
    name = f"{request.path.name}::{request.node.name}"
    return np.random.default_rng([request.config.stash.get(SEED, 0), zlib.crc32(name.encode())])
