"""What student code can reach: its own files to read, a private folder to write, and nothing else."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from grading.client import Worker
from grading.errors import GraderError
from grading.remote import RemoteError, WorkerFailureError
from grading.sandbox import bubblewrap, launch, seccomp

ATTEMPTS = "import os, sys, socket, subprocess, threading, time, glob\n"


@pytest.fixture
def in_bubblewrap(sandbox: str) -> None:
    """Only bubblewrap promises this."""
    if sandbox != "bubblewrap":
        pytest.skip("a plain process is not confined in this way; results say so")


@pytest.mark.usefixtures("in_bubblewrap")
@pytest.mark.parametrize(
    "attempt",
    [
        "os.fork()",
        "subprocess.run(['/usr/bin/env', 'true'])",
        "open('/submission/m/tinytorch/code.py', 'a')",
        "open('/worker/main.py', 'a')",
        "open('/usr/lib/evil', 'w')",
        "os.listdir('/home')",
        "socket.create_connection(('127.0.0.1', 22), 1)",
        "os.mkdir('/x')",
        "open('/proc/sys/kernel/core_pattern', 'w')",
        "open('/proc/sysrq-trigger', 'w')",
        "open('/dev/shm/x', 'w')",
        "os.setuid(0)",
        "os.kill(1, 9)" if os.geteuid() == 0 else "os.setuid(0)",
        "__import__('grading')",
    ],
)
def test_the_way_out_is_closed(worker_of, attempt):
    """Each attempt raises in the worker, and the worker lives on."""
    code = worker_of(f"{ATTEMPTS}def f():\n    {attempt}\n    return 'out'\ndef g(): return 1\n").module("code")
    with pytest.raises(RemoteError):
        code.f()
    assert code.g() == 1


@pytest.mark.usefixtures("in_bubblewrap")
def test_the_graders_folder_is_not_there(worker_of, root):
    """Neither tests nor manifest nor grader can be read from inside."""
    paths = [str(root / "milestones.yaml"), str(root / "grading")]
    code = worker_of(f"{ATTEMPTS}def f():\n    return [os.path.exists(p) for p in {paths!r}]\n").module("code")
    assert code.f() == [False, False]


@pytest.mark.usefixtures("in_bubblewrap")
def test_nothing_is_installed_there_but_numpy(worker_of):
    """A framework beside NumPy, or in the system's Python, is not there to do the student's work."""
    places = "[*sys.path, *(p for root in (sys.base_prefix, '/usr', '/usr/local') for p in glob.glob(root + PATTERN))]"
    found = f"[p for folder in {places} if '-packages' in folder and os.path.isdir(folder) for p in os.listdir(folder)]"
    source = f"{ATTEMPTS}PATTERN = '/lib*/python3*/*-packages'\ndef f(): return {found}\ndef g(): import pydantic\n"
    code = worker_of(source).module("code")
    assert {"numpy", "msgpack"} <= set(code.f()) <= {"numpy", "msgpack", "numpy.libs"}
    with pytest.raises(RemoteError, match="pydantic"):
        code.g()


@pytest.mark.usefixtures("in_bubblewrap")
def test_what_is_covered_over_cannot_be_filled(worker_of):
    """A folder of packages is a file system in memory there: it takes no file."""
    body = "[open(f + '/x', 'w') for f in glob.glob('/usr/lib*/python3*/*-packages')]; open(sys.path[-1] + '/x', 'w')"
    code = worker_of(f"{ATTEMPTS}def f(): {body}\n").module("code")
    with pytest.raises(RemoteError):
        code.f()


@pytest.mark.usefixtures("in_bubblewrap")
def test_only_its_own_processes_are_visible(worker_of):
    """The folder /proc shows the sandbox and nothing of the machine."""
    code = worker_of(f"{ATTEMPTS}def f(): return sorted(int(p) for p in os.listdir('/proc') if p.isdigit())\n").module(
        "code"
    )
    assert len(code.f()) <= 3


def test_nothing_of_the_environment_comes_through(worker_of, monkeypatch):
    """Secrets and Python's settings stay outside."""
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTHONSTARTUP", "/evil.py")
    code = worker_of(f"{ATTEMPTS}def f(): return sorted(os.environ)\n").module("code")
    names = code.f()
    assert "SECRET_TOKEN" not in names
    assert not any(n.startswith("PYTHON") for n in names)


def test_a_worker_has_the_environment_it_was_given(tmp_path, sandbox):
    """All of it and nothing else, also where the sandbox clears what it inherits."""
    (tmp_path / "m" / "tinytorch").mkdir(parents=True)
    (tmp_path / "m" / "tinytorch" / "code.py").write_text("import os\ndef f(): return dict(os.environ)\n")
    confinement = launch.Confinement(
        tmp_path, ("m",), 2048, 60, sandbox=sandbox, threads=3, environment={"NUMBA_THREADING_LAYER": "workqueue"}
    )
    with Worker(confinement, call_seconds=5) as worker:
        found = worker.module("code").f()
    home = found["HOME"]
    expected = {**launch._environment(Path(home), 3), "NUMBA_THREADING_LAYER": "workqueue"}
    assert {name: text for name, text in found.items() if name != "PWD"} == expected  # bubblewrap adds PWD
    assert (home == bubblewrap.TMP) == (sandbox == "bubblewrap")


@pytest.mark.parametrize("threads", [1, 2])
def test_matrix_products_use_the_threads_of_the_budget(tmp_path, sandbox, threads):
    """The BLAS that NumPy brings is asked itself: more threads than that only wait for each other."""
    libraries = list(Path(np.__file__).parent.with_name("numpy.libs").glob("libscipy_openblas64_*"))
    if not libraries or (os.cpu_count() or 1) < threads:
        pytest.skip("another BLAS, or fewer cores")
    (tmp_path / "m" / "tinytorch").mkdir(parents=True)
    (tmp_path / "m" / "tinytorch" / "code.py").write_text(
        "import ctypes\n"
        f"def f(): return ctypes.CDLL({str(libraries[0].resolve())!r}).scipy_openblas_get_num_threads64_()\n"
    )
    confinement = launch.Confinement(tmp_path, ("m",), 2048, 60, sandbox=sandbox, threads=threads)
    with Worker(confinement, call_seconds=5) as worker:
        assert worker.module("code").f() == threads


def test_a_package_is_there_when_it_is_asked_for(tmp_path, sandbox):
    """By its import name; one that is not installed is the machine's error, with the command that shows it."""
    (tmp_path / "m" / "tinytorch").mkdir(parents=True)
    (tmp_path / "m" / "tinytorch" / "code.py").write_text("def f():\n    import yaml\n    return yaml.safe_load('1')\n")
    with Worker(
        launch.Confinement(tmp_path, ("m",), 2048, 60, sandbox=sandbox, packages=("yaml",)), call_seconds=5
    ) as worker:
        assert worker.module("code").f() == 1
    with pytest.raises(GraderError, match="no_such_package is not installed"):
        launch.launch(launch.Confinement(tmp_path, ("m",), 2048, 60, sandbox=sandbox, packages=("no_such_package",)))


def test_memory_has_an_end(worker_of):
    """An allocation beyond the budget is a MemoryError, not the machine's trouble."""
    code = worker_of(
        "def f():\n    kept = []\n    while True: kept.append(bytearray(64 << 20))\ndef g(): return 1\n", memory_mb=1024
    ).module("code")
    with pytest.raises((MemoryError, WorkerFailureError)):
        code.f()


def test_threads_are_allowed(worker_of):
    """Prefetching and NumPy's matrix products need them."""
    body = "seen = []\n    t = threading.Thread(target=lambda: seen.append(1)); t.start(); t.join()\n    return seen"
    code = worker_of(f"{ATTEMPTS}def f():\n    {body}\n").module("code")
    assert code.f() == [1]


def test_a_limit_cannot_be_raised_again(worker_of, sandbox):
    """The limits are hard limits; only a plain process of root may raise them, and results name the sandbox."""
    if sandbox == "process" and os.geteuid() == 0:
        pytest.skip("root may raise limits outside a sandbox")
    code = worker_of(
        "import resource\ndef f(): resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)\n"
    ).module("code")
    with pytest.raises((ValueError, RemoteError)):
        code.f()


@pytest.mark.skipif(sys.platform != "linux", reason="strays are adopted through a Linux call")
def test_a_daemon_does_not_outlive_its_worker(tmp_path, worker_of, sandbox):
    """A child that left its process group is ended with the worker; in bubblewrap there never is one."""
    mark = tmp_path / "alive"
    source = (
        f"{ATTEMPTS}def f():\n"
        "    if os.fork() == 0:\n        os.setsid()\n"
        "        if os.fork() == 0:\n"
        f"            while True:\n                open({str(mark)!r}, 'a').write('x'); time.sleep(0.05)\n"
        "        os._exit(0)\n    return 1\n"
    )
    worker = worker_of(source)
    code = worker.module("code")
    if sandbox == "bubblewrap":
        with pytest.raises(RemoteError):
            code.f()
        return
    assert code.f() == 1
    time.sleep(0.3)
    worker.close()
    size = mark.stat().st_size
    assert size
    time.sleep(0.4)
    assert mark.stat().st_size == size


def test_a_shadow_of_numpy_in_the_submission_is_not_used(tmp_path, sandbox):
    """What is called numpy beside the student's files is not NumPy."""
    folder = tmp_path / "s"
    (folder / "m" / "tinytorch").mkdir(parents=True)
    (folder / "m" / "numpy.py").write_text("raise SystemExit('shadow')")
    (folder / "m" / "sitecustomize.py").write_text("raise SystemExit('shadow')")
    (folder / "m" / "tinytorch" / "code.py").write_text("import numpy\ndef f(): return numpy.__version__\n")
    with Worker(launch.Confinement(folder, ("m",), 2048, 60, sandbox=sandbox), call_seconds=5) as worker:
        assert worker.module("code").f()[0].isdigit()


def test_official_grading_without_a_sandbox_is_an_error(monkeypatch):
    """It is the machine's error, and no fallback."""
    monkeypatch.setattr(bubblewrap, "works", lambda: "bubblewrap is not installed")
    assert launch.choose(official=False) == "process"
    with pytest.raises(GraderError, match="sandbox"):
        launch.choose(official=True)


def test_the_filter_is_made_for_known_processors_only():
    """Where the system call numbers are not known there is no filter, rather than a wrong one."""
    assert seccomp.program("riscv64") is None
    for machine in ("x86_64", "aarch64"):
        code = seccomp.program(machine)
        assert code is not None
        assert len(code) % 8 == 0


def test_private_folders_are_gone_afterwards(worker_of, tmp_path, monkeypatch):
    """A worker leaves nothing behind in the temporary folder."""
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    worker = worker_of("def f(): return 1\n")
    worker.module("code").f()
    assert list(private.iterdir())
    worker.close()
    assert list(private.iterdir()) == []
