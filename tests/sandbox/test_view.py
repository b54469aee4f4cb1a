"""A worker may read Python, its library and its packages, and nothing that lies next to them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from grading.client import Worker
from grading.errors import GraderError
from grading.sandbox import view as views
from grading.sandbox.launch import Confinement
from grading.sandbox.view import PACKAGES, find_real_interpreter, find_shared_libraries, make_worker_file_view

linux = pytest.mark.skipif(sys.platform != "linux", reason="the loader is Linux's")
CODE = """
import os
def read(path):
    try: return open(path, "rb").read(9)
    except OSError: return None
def entries(path):
    try: return sorted(os.listdir(path))
    except OSError: return None
"""


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a prefix with this Python in it, as conda does, with other environments and somebody's data below it."""
    prefix = tmp_path / "a prefix"
    library = Path(sysconfig.get_path("stdlib"))
    inside = prefix / "lib" / library.name
    shutil.copytree(library, inside, ignore=shutil.ignore_patterns("*-packages", "test", "__pycache__", "config-*"))
    (prefix / "bin").mkdir()
    python = Path(shutil.copy2(Path(sys._base_executable).resolve(), prefix / "bin"))
    for path in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
        shutil.copy2(path, prefix / "lib", follow_symlinks=False)
    for secret in ("envs/other/lib/secret", "data/labels", "lib/secret", "share/secret", "bin/secret", "pkgs/secret"):
        (prefix / secret).parent.mkdir(parents=True, exist_ok=True)
        (prefix / secret).write_text("secret")
    for folder in (inside / "site-packages" / "torch", inside / "data"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("secret")
    monkeypatch.setattr(sys, "_base_executable", str(python))
    monkeypatch.setattr(sys, "base_prefix", str(prefix))
    monkeypatch.setattr(sys, "base_exec_prefix", str(prefix))
    monkeypatch.setattr(sysconfig, "get_path", lambda _name, **_: str(inside))
    monkeypatch.setenv("TINYTORCH_DATA", str(inside / "data"))
    if subprocess.run([python, "-I", "-S", "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("this Python cannot be moved")
    return prefix


@linux
def test_what_lies_beside_the_standard_library_is_not_there(prefix, tmp_path, sandbox):
    """Neither other environments nor data, below the prefix, below the library, or among its packages."""
    if sandbox == "process":
        pytest.skip("a plain process reads what its user can")
    source = tmp_path / "s" / "m" / "tinytorch" / "code.py"
    source.parent.mkdir(parents=True)
    source.write_text(CODE)
    secrets = [str(path) for path in prefix.rglob("*") if path.is_file() and path.read_bytes() == b"secret"]
    assert len(secrets) == 8
    with Worker(Confinement(tmp_path / "s", ("m",), 2048, 60, sandbox=sandbox), call_seconds=20) as worker:
        code = worker.module("code")
        assert [code.read(path) for path in secrets] == [None] * len(secrets)
        assert code.entries(str(prefix)) in (None, ["bin", "lib"])  # what leads to that which is shown
        assert code.read(str(next(prefix.glob("lib/python3*/statistics.py")))) is not None


def test_of_two_rules_the_deeper_one_decides(tmp_path):
    """A package is shown below the packages that are covered, which lie in a library that is shown."""
    library, packages, own = tmp_path / "lib", tmp_path / "lib/site-packages", tmp_path / "lib/site-packages/numpy"
    own.mkdir(parents=True)
    (packages / "torch").mkdir()
    (library / "os.py").touch()
    (library / "elsewhere").symlink_to("/etc")
    seen = views.FileView(Path("python"), (own,), frozenset({library, own}), frozenset({packages}))
    assert seen.list_paths_by_depth() == [(library, True), (packages, False), (own, True)]
    assert dict(seen.readable) == {library: False, library / "os.py": True, own: True}


@linux
def test_the_loader_names_the_libraries_that_are_needed():
    """Those of Python, of its compiled modules, and the one that is loaded only when a thread ends."""
    dynload = Path(sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix})) / "lib-dynload"
    found = find_shared_libraries(Path(sys._base_executable).resolve(), [dynload])
    names = {path.name.partition(".so")[0] for path in found}
    assert {"libc", "libgcc_s"} <= names
    assert all(path.is_file() for path in found)


@linux
def test_where_the_loader_lists_nothing_all_libraries_are_shown(tmp_path, monkeypatch):
    """Single files are shown in the places where the loader looks, and no folders."""
    monkeypatch.setattr(views, "_list_shared_libraries_in", lambda *_: [])
    found = find_shared_libraries(Path(sys.executable), [tmp_path])
    assert found
    assert all(path.is_file() and ".so" in path.name for path in found)


def test_a_package_of_one_file_is_that_file():
    """The folder it lies in has everything else that is installed."""
    assert (
        make_worker_file_view(find_real_interpreter(), (*PACKAGES, "typing_extensions"), frozenset()).packages[-1].name
        == "typing_extensions.py"
    )


def test_a_package_that_is_missing_is_the_machine_s_error():
    """The message contains the command that shows it."""
    with pytest.raises(GraderError, match=r"no_such_package is not installed.*tito doctor"):
        make_worker_file_view(find_real_interpreter(), ("no_such_package",), frozenset())
