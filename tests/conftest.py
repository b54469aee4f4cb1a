"""What the tests of the tools share."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from course.release import list_student_files
from grading.client import Worker
from grading.errors import GraderError
from grading.manifest.loader import load_manifest
from grading.quiz import sealing
from grading.sandbox import launch
from grading.sandbox.launch import FENCES, Confinement, choose_fence

ROOT = Path(__file__).resolve().parent.parent
settings.register_profile("course", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("course")

LONGEST = """
student course workflows browser collect tests/test_docs.py tests/github tests/export/test_autograder.py
""".split()
"""The groups that take longest, in the order in which they are started; single tests fill the gaps at the end."""
SPREAD = """
tests/test_miniatures.py tests/test_right_modules.py tests/test_limits.py tests/test_client.py
tests/desk/test_collect.py tests/sandbox/test_confinement.py tests/sandbox/test_fences.py
""".split()
"""Files of many slow tests that share no fixture: any process can run any of them."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run each file, whose fixtures it then sets up once, and start with what takes longest."""
    ranks = {}
    for item in items:
        if (mark := item.get_closest_marker("xdist_group")) is None:
            file = item.nodeid.partition("::")[0]
            name = "tests/github" if file.startswith("tests/github/") else file
            if file not in SPREAD:
                item.add_marker(pytest.mark.xdist_group(name))
        else:
            name = mark.args[0]
        ranks[item] = LONGEST.index(name) if name in LONGEST else len(LONGEST) + (name in SPREAD)
    items.sort(key=lambda item: ranks[item])


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the course repository to which these tests belong."""
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def share_sealed_digests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compute each sealed digest once for all processes, since the 1,500 of one release take six seconds."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    digests, compute = folder / "digests", sealing._compute_scrypt_digest
    digests.mkdir(exist_ok=True)

    @cache
    def read_or_compute_digest(text: str, salt: str) -> str:
        """Read the digest that another process or thread has stored, or compute and store it."""
        file = digests / hashlib.sha256(f"{salt}{text}".encode()).hexdigest()
        with (digests / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                file.write_text(compute(text, salt))
        return file.read_text()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "_compute_scrypt_digest", read_or_compute_digest)
        yield


@pytest.fixture(params=FENCES)
def sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return each way to confine a worker in turn; skip those that do not work here."""
    monkeypatch.setenv(launch.VARIABLE, request.param)
    try:
        return choose_fence(official=False)
    except GraderError as error:
        pytest.skip(str(error))


@pytest.fixture
def worker_of(tmp_path: Path, sandbox: str) -> Iterator[Callable[..., Worker]]:
    """Yield `worker_of(source)`, which starts a worker whose `tinytorch.code` has this source."""
    started: list[Worker] = []

    def start(source: str, *, call_seconds: float = 5, memory_mb: int = 2048) -> Worker:
        """Write the source as a submission, and start a worker for it."""
        folder = tmp_path / f"submission{len(started)}"
        file = folder / "m" / "tinytorch" / "code.py"
        file.parent.mkdir(parents=True)
        file.write_text(source)
        confinement = Confinement(folder, ("m",), memory_mb=memory_mb, cpu_seconds=60, sandbox=sandbox)
        started.append(Worker(confinement, call_seconds=call_seconds))
        return started[-1]

    yield start
    for worker in started:
        worker.close()


@pytest.fixture
def solutions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Make the solutions importable as `tinytorch`, and yield every module and recipe of them."""
    manifest = load_manifest(ROOT)
    files = [ROOT / path for path in list_student_files(manifest)]
    for file in files:
        if file.parent.name == "tinytorch":
            monkeypatch.syspath_prepend(file.parent.parent)
    before = set(sys.modules)
    modules = []
    for file in files:
        if file.parent.name == "tinytorch":
            modules.append(importlib.import_module(f"tinytorch.{file.stem}"))
        else:
            spec = importlib.util.spec_from_file_location(f"recipe_{file.parent.name}", file)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            modules.append(module)
    assert [Path(module.__file__) for module in modules] == files
    yield modules
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "tinytorch":
            del sys.modules[name]
