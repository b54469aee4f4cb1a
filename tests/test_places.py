"""The places students work in: what cannot run says so, what hides their code is named, editors find the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from course.release import EDITOR_FILES

ROOT = Path(__file__).resolve().parents[1]
WITHOUT = "import sys; sys.modules['fcntl'] = sys.modules['resource'] = None; "
"""What Python is on Windows, as far as the course is concerned."""


def run_python(code: str, *, path: Path = ROOT, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run code in a separate process, with ``path`` first on the import path."""
    folders = (path, ROOT, *sorted(ROOT.glob("modules/*_*")))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "code",
    [
        "from tito.app import run_command_line; sys.exit(run_command_line(['doctor']))",
        "from tito.app import run_command_line; sys.exit(run_command_line([]))",
        "from tito.app import run_command_line; sys.exit(run_command_line(['milestone', 'test', '1']))",
        "import runpy; sys.argv = ['grading', 'milestone', '1']; runpy.run_module('grading', run_name='__main__')",
        "import runpy; runpy.run_path('noxfile.py')",
    ],
    ids=["doctor", "tito", "milestone", "grading", "nox"],
)
def test_on_windows_every_command_is_one_sentence(code: str) -> None:
    """The message names the missing part and WSL, without a traceback and without a failed test."""
    done = run_python(WITHOUT + code)
    assert done.returncode == 3
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert "`fcntl`" in line
    assert "`wsl --install`" in line


def test_pytest_runs_where_there_is_no_timer() -> None:
    """On Windows, a student's own tests run without a limit for endless loops."""
    code = "import pytest, signal; del signal.setitimer, signal.SIGPROF; sys.exit(pytest.main("
    done = run_python(f"{WITHOUT}{code}['-q', '-p', 'no:cacheprovider', 'modules/01_setup', '--task', '1.2']))")
    assert done.returncode == 0, done.stdout


def test_on_macos_the_doctor_is_content_with_a_limited_process() -> None:
    """It says so, and that this is enough on one's own machine, as README.md does."""
    code = """import sys, platform, numpy, pydantic, typer, zoneinfo
from pathlib import Path
from tito import doctor
platform.uname()
sys.platform = "darwin"
found = doctor.check_sandbox(Path())
print(found.ok, found.found, doctor.check_worker_start(Path()).found)
"""
    done = run_python(code)
    assert done.stdout.startswith("None this system has no bubblewrap: your code runs in a limited process"), (
        done.stderr
    )
    assert "which is enough on your own machine" in done.stdout
    assert "starts in process with Python" in done.stdout


@pytest.fixture
def shadow(tmp_path: Path) -> Path:
    """Make a folder with a package of the course's name, like the one in the package index."""
    (tmp_path / "tinytorch").mkdir()
    (tmp_path / "tinytorch" / "__init__.py").write_text("raise ImportError('this one needs torch')\n")
    return tmp_path


def test_a_package_that_hides_the_students_code_is_named(shadow: Path) -> None:
    """Doctor and pytest name its file and the command that removes it, before any test runs; nothing imports it."""
    init = str(shadow / "tinytorch" / "__init__.py")
    doctor = run_python(
        "from pathlib import Path; from tito import doctor; print(doctor.check_editable_install(Path()))",
        path=shadow,
    )
    assert "ok=False" in doctor.stdout
    test = ["modules/02_tensor/test_tensor.py", "--task", "2.2"]
    tests = run_python(f"import pytest, sys; sys.exit(pytest.main({test}))", path=shadow)
    assert tests.returncode == pytest.ExitCode.USAGE_ERROR
    for said in (doctor.stdout, tests.stderr):
        assert init in said
        assert "pip uninstall tinytorch" in said


def test_vs_code_shows_each_tests_task(tmp_path: Path) -> None:
    """Where it collects, names begin with the task; node ids, by which a test is run, are as ever."""
    (tmp_path / "vscode_pytest.py").write_text(
        "def pytest_sessionfinish(session):\n"
        "    print(*(f'{item.nodeid} = {item.name} = {item.originalname}' for item in session.items), sep='\\n')\n"
    )
    arguments = ["-q", "-p", "vscode_pytest", "modules/03_activations/test_activations.py"]
    shown = run_python(f"import pytest; pytest.main({[*arguments, '--collect-only']})", path=tmp_path).stdout
    lines = [line.split(" = ") for line in shown.splitlines() if line.count(" = ") == 2]
    assert len(lines) > 20
    for node, name, original in lines:
        task, _, own = name.partition(" ")
        assert task.startswith("3.")
        assert node.endswith(f"::{own}")
        assert original == f"{task} {own.partition('[')[0]}"
    folders = [str(folder) for folder in sorted((ROOT / "modules").iterdir())]  # as an editable install has them
    code = f"sys.path += {folders}; import pytest; pytest.main({[*arguments, '--task', '3.4']})"
    ran = run_python(f"import sys; {code}", path=tmp_path).stdout
    assert "3.4 test_" not in ran
    assert "passed" in ran


@pytest.mark.parametrize("name", EDITOR_FILES)
def test_editors_read_their_settings(name: str) -> None:
    """Plain JSON, which every reader takes."""
    assert isinstance(json.loads((ROOT / name).read_text("utf-8")), dict)


def test_settings_agree_with_each_other() -> None:
    """Container and editor use the same environment and extensions, and tests run by the module of pytest."""
    settings, extensions, launch, container = (
        json.loads((ROOT / name).read_text("utf-8"))
        for name in (".vscode/settings.json", ".vscode/extensions.json", ".vscode/launch.json", EDITOR_FILES[0])
    )
    assert settings["python.testing.pytestArgs"] == ["modules"]
    assert settings["python.defaultInterpreterPath"].endswith("/.venv/bin/python")
    assert container["postCreateCommand"] == "python -m venv .venv && .venv/bin/pip install -e ."
    assert container["customizations"]["vscode"]["extensions"] == extensions["recommendations"]
    debug = [one for one in launch["configurations"] if "debug-test" in one.get("purpose", ())]
    assert len(debug) == 1
