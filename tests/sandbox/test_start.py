"""A worker that does not start is the machine's failure, whatever stopped it, and is never held against a student."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grading import __main__ as command
from grading import client, grade
from grading.client import Worker
from grading.errors import GraderError
from grading.grade import grade_module
from grading.result import CriterionStatus, Verdict
from grading.sandbox import launch
from grading.sandbox.launch import Confinement, choose_fence

LIBRARY = "error while loading shared libraries: libpython3.11.so.1.0: cannot open shared object file"
PYTHON = os.path.realpath(sys._base_executable)
SPEAK = f"#!{PYTHON} -I\nimport os, sys\nos.write(int(sys.argv[-2]), "
"""The beginning of a script in an interpreter's place that writes bytes to the grader."""
Interpreter = Callable[[str], None]


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Interpreter:
    """Return `interpreter(script)`, after which workers are started with this script instead of Python."""

    def install(script: str) -> None:
        """Write the script, and make workers start with it."""
        file = tmp_path / "python"
        file.write_text(script)
        file.chmod(0o755)
        monkeypatch.setattr(sys, "_base_executable", str(file))

    monkeypatch.setattr(launch, "RETRY_SECONDS", 0.0)
    return install


@pytest.fixture
def worker(tmp_path: Path):
    """Return `worker()`, which starts a plain process whose `tinytorch.code` answers 1."""
    file = tmp_path / "submission/m/tinytorch/code.py"
    file.parent.mkdir(parents=True)
    file.write_text("def f(): return 1\n")
    started: list[Worker] = []

    def start(sandbox: str = "process") -> Worker:
        """Start a worker for the submission, and keep it so that it is closed."""
        started.append(Worker(Confinement(tmp_path / "submission", ("m",), 2048, 60, sandbox=sandbox), call_seconds=5))
        return started[-1]

    yield start
    for one in started:
        one.close()


def fake_bubblewrap(folder: Path, monkeypatch: pytest.MonkeyPatch, last_words: str) -> None:
    """Make Bubblewrap work when it is tried, and fail with these words when a worker is started."""
    real = shutil.which("bwrap")
    script = folder / "bin" / "bwrap"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *main.py*) echo "bwrap: {last_words}" >&2; exit 1;; esac\nexec {real} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f"#!/bin/sh\necho '{LIBRARY}' >&2\nexit 127\n", "exit code 127: error while loading shared libraries"),
        ("#!/bin/sh\nexit 0\n", "exit code 0: it printed nothing"),
        ("#!/bin/sh\nkill -9 $$\n", "it was killed (SIGKILL)"),
        ("#!/no/such/interpreter\n", "No such file"),
        ("#!/bin/sh\nexec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-\nexit 1\n", "exit code 1"),
        (f"#!{PYTHON} -I\nraise ImportError('numpy is another architecture')\n", "numpy is another architecture"),
        (f"{SPEAK}b'hello')\n", "not the expected greeting"),
        (f"{SPEAK}b'\\0\\0\\0\\6\\0\\0\\0\\2\\x91\\x01')\n", "not the expected greeting"),
    ],
)
def test_an_interpreter_that_does_not_get_ready_is_the_machines_failure(interpreter, worker, script, words):
    """The message names the machine, how the process ended and a command to diagnose it, and the failure is kept."""
    interpreter(script)
    with pytest.raises(GraderError, match="on this machine") as caught:
        worker().module("code")
    assert words in str(caught.value)
    assert "`tito doctor`" in str(caught.value)
    assert "your code" not in str(caught.value)


def test_a_failed_start_fails_every_request_in_the_same_way(interpreter, worker):
    """A test that handles the first failure differently meets it again."""
    interpreter("#!/bin/sh\nexit 127\n")
    one = worker()
    for _ in range(2):
        with pytest.raises(GraderError, match="127"):
            one.module("code")


def test_a_wrapper_that_starts_python_is_as_good_as_python(interpreter, worker):
    """What counts is that the worker answers, and with the grader's own versions."""
    interpreter(f'#!/bin/sh\nexec {shlex.quote(PYTHON)} "$@"\n')
    assert worker().module("code").f() == 1


def test_another_version_is_refused(interpreter, worker):
    """Figures from two versions of Python or NumPy are not the same measurement, so both versions are named."""
    said = "b'\\0\\0\\0\\x18\\0\\0\\0\\x14\\x93\\xa5ready\\xa63.99.1\\xa50.9.9'"
    interpreter(f"{SPEAK}{said})\nimport time\ntime.sleep(9)\n")
    both = r"the worker runs Python 3\.99\.1 with NumPy 0\.9\.9, the grader Python 3\."
    with pytest.raises(GraderError, match=both) as caught:
        worker().module("code")
    assert "doctor" in str(caught.value)


def test_a_slow_disk_is_waited_for_and_one_without_end_is_the_machines(interpreter, worker, monkeypatch):
    """A start has its own wide deadline, separate from that of a call."""
    interpreter(f'#!/bin/sh\nsleep 2\nexec {shlex.quote(PYTHON)} "$@"\n')
    slow = worker()
    slow._call_seconds = 1
    assert slow.module("code").f() == 1
    monkeypatch.setattr(client, "START_SECONDS", 0.2)
    with pytest.raises(GraderError, match="not ready within"):
        worker().module("code")


def test_a_start_that_fails_once_is_tried_again(interpreter, worker, tmp_path):
    """What a machine lacks for a moment costs nobody a verdict."""
    mark = tmp_path / "once"
    interpreter(f'#!/bin/sh\n[ -e {mark} ] || {{ touch {mark}; exit 127; }}\nexec {shlex.quote(PYTHON)} "$@"\n')
    assert worker().module("code").f() == 1
    assert mark.exists()


@pytest.mark.parametrize("failures", [1, 2])
def test_no_process_left_is_tried_again_and_then_told(worker, monkeypatch, tmp_path, failures):
    """The first EAGAIN from fork is waited out, the second is the machine's failure, and nothing is left behind."""
    private, popen, left = tmp_path / "private", subprocess.Popen, [None] * failures
    private.mkdir()
    monkeypatch.setattr(launch, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(launch.tempfile, "tempdir", str(private))

    def flaky(*arguments, **options):
        """Start a process, but fail as long as failures are left."""
        if left:
            left.pop()
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return popen(*arguments, **options)

    monkeypatch.setattr(launch.subprocess, "Popen", flaky)
    if failures == 1:
        assert worker().module("code").f() == 1
    else:
        with pytest.raises(GraderError, match="temporarily unavailable"):
            worker()
        assert list(private.iterdir()) == []


@pytest.mark.skipif(choose_fence(official=False) != "bubblewrap", reason="bubblewrap does not work on this machine")
@pytest.mark.parametrize(
    "words", ["Creating newroot failed: No space left on device", "Resource temporarily unavailable"]
)
def test_bubblewraps_own_trouble_is_the_machines(worker, tmp_path, monkeypatch, words):
    """What bwrap reports is passed on."""
    fake_bubblewrap(tmp_path, monkeypatch, words)
    with pytest.raises(GraderError, match=words):
        worker("bubblewrap").module("code")


def test_nothing_of_a_submission_runs_before_a_worker_is_ready(tmp_path, sandbox):
    """Files named like modules of Python hide none of them, neither before nor after."""
    folder = tmp_path / "s"
    (folder / "m" / "tinytorch").mkdir(parents=True)
    here = [name for name in sys.stdlib_module_names if importlib.util.find_spec(name)]
    for name in (*here, "sitecustomize", "usercustomize", "numpy", "msgpack", "wire", "main"):
        (folder / "m" / f"{name}.py").write_text("import os\nos._exit(0)\n")
    (folder / "m" / "tinytorch" / "code.py").write_text(
        "import random\ndef f(): return random.Random(1).random() < 1\n"
    )
    with Worker(Confinement(folder, ("m",), 2048, 60, sandbox=sandbox), call_seconds=5) as worker:
        assert worker.request("echo", 1) == 1
        assert worker.request("folder").name
        assert worker.module("code").f() is True


def test_a_module_graded_on_such_a_machine_is_an_error(interpreter, root, monkeypatch):
    """No criterion is failed, no test is blamed, and the command ends with 3."""
    interpreter(f"#!/bin/sh\necho '{LIBRARY}' >&2\nexit 127\n")
    monkeypatch.setattr(grade, "choose_fence", lambda **_: "process")
    result = grade_module(root, "02_tensor")
    assert result.verdict is Verdict.ERROR
    status = {c.name: c.status for c in result.criteria}
    assert status["module_tests"] is CriterionStatus.ERROR
    assert CriterionStatus.FAILED not in status.values()
    explanation = next(c.explanation for c in result.criteria if c.name == "module_tests")
    assert LIBRARY in explanation
    assert "tito doctor" in explanation
    run = CliRunner().invoke(command.app, ["module", "02_tensor"])
    assert run.exit_code == 3
    assert "your code ended" not in run.output


def test_a_milestone_of_which_something_else_is_failed_is_an_error_too(interpreter, root, monkeypatch, tmp_path):
    """Without answers the questions fail. The rest was never measured, so there is no verdict to keep."""
    interpreter("#!/bin/sh\nexit 127\n")
    monkeypatch.setattr(grade, "choose_fence", lambda **_: "process")
    tree = tmp_path / "tree"
    shutil.copytree(root / "modules", tree / "modules")
    result = grade.grade_milestone(root, 1, submission=tree, again=True)
    status = {c.name: c.status for c in result.criteria}
    assert status["quiz"] is CriterionStatus.FAILED
    assert status["module_tests"] is CriterionStatus.ERROR
    assert result.verdict is Verdict.ERROR
