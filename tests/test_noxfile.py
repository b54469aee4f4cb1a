"""The sessions that grade run the course's own grader, wherever they were typed."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

EVIL = "import os\nprint('FOUND: mine was run')\nos._exit(0)\n"


@pytest.fixture(scope="module")
def noxfile(root):
    """Import the noxfile as a module, once, since nox registers its sessions only once."""
    before = list(sys.path)
    spec = importlib.util.spec_from_file_location("course_noxfile", root / "noxfile.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def test_a_package_in_the_folder_where_it_was_typed_is_not_run(root, tmp_path, noxfile, capfd):
    """A student's repository also has a package `grading`, but a session typed there uses the course's."""
    for name in ("grading/__init__.py", "grading/__main__.py", "typer.py", "numpy.py", "json.py", "sitecustomize.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(EVIL)
    target = tmp_path / "result.json"

    def error(*_: object) -> None:
        raise AssertionError("not yet")

    session = SimpleNamespace(
        bin=str(Path(sys.executable).parent),
        invoked_from=str(tmp_path),
        posargs=["--submission", str(root), "--json", str(target)],
        error=error,
    )
    noxfile.run_own_module(session, "grading", "module", "01_setup")
    assert json.loads(target.read_text())["verdict"] == "unlocked"
    assert "FOUND" not in capfd.readouterr().out


def test_wrong_usage_ends_with_its_own_code(tmp_path, noxfile):
    """Nox itself would make 1 of it."""
    session = SimpleNamespace(bin=str(Path(sys.executable).parent), invoked_from=str(tmp_path), posargs=[])
    with pytest.raises(SystemExit) as ended:
        noxfile.run_own_module(session, "grading", "module", "99_nothing")
    assert ended.value.code == 2


@pytest.mark.parametrize(("ended", "code"), [(-9, 3), (-11, 3), (3, 3), (130, 130)])
def test_a_grader_that_was_killed_is_no_not_yet(tmp_path, noxfile, monkeypatch, ended, code):
    """A system without memory ends the grader by a signal: that is the machine's, and not the student's."""
    session = SimpleNamespace(bin=str(tmp_path), invoked_from=str(tmp_path), posargs=[], error=pytest.fail)
    monkeypatch.setattr(noxfile.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=ended))
    with pytest.raises(SystemExit) as exited:
        noxfile.run_own_module(session, "grading", "module", "01_setup")
    assert exited.value.code == code


def test_packages_that_cannot_be_installed_are_the_machines_trouble(noxfile, tmp_path, capsys):
    """Without a network nox would end with 1, as for a milestone that is not unlocked yet."""

    def install(*_: object, **__: object) -> None:
        raise noxfile.nox.command.CommandFailed("uv pip install returned 1")

    with pytest.raises(SystemExit) as exited:
        noxfile.install_packages(SimpleNamespace(install=install, cache_dir=tmp_path))
    assert exited.value.code == 3
    assert "says nothing about your code" in capsys.readouterr().err


@pytest.mark.xdist_group("together")
def test_tests_of_a_group_stay_in_one_process(request):
    """Otherwise each process would live through a class's week of its own, which takes minutes."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@together")


def test_sessions_install_the_lock_s_versions(noxfile, tmp_path, monkeypatch):
    """The course's from uv.lock, a release's from its constraints.txt; the newest only where somebody asks for them."""
    monkeypatch.delenv("TINYTORCH_NEWEST", raising=False)
    session = SimpleNamespace(cache_dir=tmp_path)
    option, file = noxfile.list_constraint_options(session)
    assert option == "--constraint"
    assert "\nnumpy==" in Path(file).read_text()
    monkeypatch.setattr(noxfile, "ROOT", tmp_path)
    assert noxfile.list_constraint_options(session) == ("--constraint", str(tmp_path / "constraints.txt"))
    monkeypatch.setenv("TINYTORCH_NEWEST", "1")
    assert noxfile.list_constraint_options(session) == ()


def test_a_version_that_is_not_to_be_had_stops_no_session(noxfile, monkeypatch, capsys):
    """What fits is installed instead, and that is said; only then nothing is left to try."""
    tried = []

    def fail(*options: str, **_: object) -> None:
        """Note whether versions are pinned, and fail the first times."""
        tried.append("--constraint" in options)
        if fail.times >= len(tried):
            raise noxfile.nox.command.CommandFailed

    monkeypatch.setattr(noxfile, "list_constraint_options", lambda _: ("--constraint", "constraints.txt"))
    session = SimpleNamespace(install=fail)
    fail.times = 1
    noxfile.install_packages(session)
    assert tried == [True, False]
    assert "Trying other versions" in capsys.readouterr().err
    tried.clear()
    fail.times = 2
    with pytest.raises(SystemExit) as ended:
        noxfile.install_packages(session)
    assert ended.value.code == 3
    assert "says nothing about your code" in capsys.readouterr().err
