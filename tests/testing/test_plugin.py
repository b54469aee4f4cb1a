"""The students' fast loop: their tests in their own process, all of them or those of one task."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from course.release import render_templates
from grading.manifest.loader import load_manifest

TESTS = """\
from grading.testing import task


@task("2.1")
def test_one():
    pass


@task("2.10")
def test_ten():
    assert 0.0 / 1.0 == 1.0
"""


@pytest.fixture
def run(tmp_path: Path, root: Path):
    """Return `run(*arguments)`, which runs pytest on two small tests with the settings of a student's repository."""
    (tmp_path / "test_two.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(render_templates(root, load_manifest(root))[Path("pyproject.toml")])

    def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run pytest with these arguments and environment variables."""
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_two.py", *arguments]
        environment = {"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"} | variables
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return start


def test_one_tasks_tests_are_run_alone(run) -> None:
    """`--task 2.1` leaves 2.10 out, and several may be named."""
    assert "1 passed, 1 deselected" in run("--task", "2.1").stdout
    assert "1 failed, 1 deselected" in run("--task", "2.10").stdout
    assert "1 failed, 1 passed" in run("--task", "2.1", "--task", "2.10").stdout


def test_a_task_without_tests_is_a_mistake(run) -> None:
    """A slip of the pen does not look like success."""
    done = run("--task", "2.11")
    assert done.returncode == 4
    assert "no test here belongs to task 2.11; the tasks are 2.1, 2.10" in done.stderr


def test_a_task_may_go_by_its_number_in_the_module(run, tmp_path: Path) -> None:
    """In one module's tests `--task 10` is its tenth task; among several modules `--task 3` is all of module 03."""
    assert "1 failed, 1 deselected" in run("--task", "10").stdout
    (tmp_path / "test_three.py").write_text(TESTS.replace("2.1", "3.1"), encoding="utf-8")
    assert "1 failed, 1 passed, 2 deselected" in run("--task", "3", "test_three.py").stdout


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_matrix_products_have_one_thread(run, tmp_path: Path) -> None:
    """As in the grader's workers; a number that is set in the environment stays."""
    (tmp_path / "test_two.py").write_text(
        "import os\nimport numpy as np\n\n\ndef test_it():\n    np.ones((500, 500)) @ np.ones((500, 500))\n"
        "    assert len(os.listdir('/proc/self/task')) == int(os.environ['OPENBLAS_NUM_THREADS'])\n",
        encoding="utf-8",
    )
    assert "1 passed" in run().stdout
    assert "1 passed" in run(OPENBLAS_NUM_THREADS="2").stdout


def test_a_warning_of_numpy_fails_here_as_it_does_in_the_worker(run, tmp_path: Path) -> None:
    """An accidental division by zero fails in the student's own pytest, not only in the verdict."""
    (tmp_path / "test_two.py").write_text(
        "import numpy as np\n\n\ndef test_it():\n    np.ones(1) / np.zeros(1)\n", encoding="utf-8"
    )
    done = run()
    assert done.returncode == 1
    assert "RuntimeWarning" in done.stdout


LOOPS = ["while True: pass", "while True:\n        try: 1 / 0\n        except Exception: pass"]


def write_module(folder: Path, code: str, tests: str, seconds: float) -> str:
    """Write a student's module 02 with its tests and a time limit for each test; return the path for Python."""
    file = folder / "modules" / "02_x" / "tinytorch" / "code.py"
    file.parent.mkdir(parents=True)
    file.write_text(code, encoding="utf-8")
    (file.parents[1] / "test_code.py").write_text(tests, encoding="utf-8")
    (folder / "quick.py").write_text(f"from grading.testing import plugin\n\nplugin.TEST_SECONDS = {seconds}\n")
    return f"{Path(__file__).parents[2]}:{file.parents[1]}:{folder}"


@pytest.mark.parametrize("body", LOOPS)
def test_an_endless_loop_ends_and_its_line_is_named(run, tmp_path: Path, body: str) -> None:
    """The tests after it, which may call the same code, are not run, and other tests have no time limit."""
    tests = (
        "import time\n\n\ndef test_slow():\n    start = time.process_time()\n"
        "    while time.process_time() < start + 1:\n        pass\n\n\n"
        "def test_it(student):\n    student.code.f()\n\n\ndef test_next(student):\n    student.code.f()\n"
    )
    path = write_module(tmp_path, f"def f():\n    {body}\n", tests, 0.5)
    done = run("-p", "quick", "modules", "-k", "not one and not ten", PYTHONPATH=path)
    assert "where:    modules/02_x/tinytorch/code.py:" in done.stdout
    assert "got:      no end after 0 s of CPU time; is there an endless loop?" in done.stdout
    assert "hint:     This line was running when the time was up." in done.stdout
    assert "not run: the tests after the endless loop" in done.stdout
    assert "1 failed, 1 passed, 2 deselected" in done.stdout


def test_a_slow_loop_ends_by_itself_without_numba(run, tmp_path: Path) -> None:
    """Compiled loops that run as plain Python, for a debugger, have no time limit."""
    code = "import time\n\n\ndef f():\n    end = time.process_time() + 1\n    while time.process_time() < end: pass\n"
    path = write_module(tmp_path, code, "def test_it(student):\n    student.code.f()\n", 0.2)
    command = ("-p", "quick", "modules", "-k", "not one and not ten")
    assert "1 failed" in run(*command, PYTHONPATH=path).stdout
    assert "1 passed" in run(*command, PYTHONPATH=path, NUMBA_DISABLE_JIT="1").stdout
