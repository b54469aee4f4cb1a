"""What student code can reach: its own files to read, a private folder to write, and nothing else."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from grading.client import Worker
from grading.errors import GraderError
from grading.remote import RemoteError, WorkerFailureError
from grading.sandbox import bubblewrap, command, launch
from tests.sandbox.attempts import ATTEMPTS


@pytest.fixture
def fenced(sandbox: str) -> str:
    """Skip in a plain process, which promises little and says so in results."""
    if sandbox == "process":
        pytest.skip("a plain process is not confined in this way")
    return sandbox


@pytest.mark.parametrize("device", bubblewrap.DEVICES)
def test_harmless_devices_open(worker_of, device):
    """Correct code may discard output or read random bytes."""
    source = "def look(device):\n    with open(device, 'rb') as file:\n        return len(file.read(3))\n"
    assert worker_of(source).module("code").look(device) == (0 if device == "/dev/null" else 3)


@pytest.mark.usefixtures("fenced")
@pytest.mark.parametrize(
    "attempt",
    [
        "os.fork()",
        "subprocess.run([sys.executable, '-c', ''])",
        "os.execv(sys.executable, ['python', '-c', ''])",
        "open(__file__, 'a')",
        "os.open(__file__, os.O_RDONLY | os.O_TRUNC)",
        "os.truncate(__file__, 0)",
        "os.chmod(__file__, 0o777)",
        "os.utime(__file__)",
        "os.unlink(__file__)",
        "os.rename(__file__, __file__ + 'x')",
        "os.link(__file__, 'x')",
        "os.symlink('/', 'x')",
        "os.mkfifo('x')",
        "open(sys.modules['wire'].__file__, 'a')",
        "open(os.__file__, 'a')",
        "open(np.__file__, 'a')",
        "open('/usr/lib/evil', 'w')",
        "os.listdir('/home')",
        "os.listdir('/')",
        "os.mkdir('/x')",
        "open('/etc/passwd')",
        "open('/proc/self/mountinfo')",
        "open('/proc/self/environ')",
        "open('/proc/sys/kernel/core_pattern', 'w')",
        "open('/proc/sysrq-trigger', 'w')",
        "open('/dev/shm/x', 'w')",
        "open('/dev/mem')",
        "os.setuid(0)",
        "os.setgid(0)",
        "os.setgroups([0])",
        "os.kill(1, 9)",
        "os.kill(os.getppid(), 0)",
        "os.kill(0, 9)",
        "os.kill(-1, 9)",
        "os.pidfd_open(os.getpid())",
        "os.sched_setaffinity(os.getppid(), {0})",
        "resource.prlimit(os.getppid(), resource.RLIMIT_CORE)",
        "os.memfd_create('x')",
        "os.unshare(0x10000000) if hasattr(os, 'unshare') else call('unshare', 0x10000000)",
        "call('setns', 3, 0)",
        "call('mount', 0, 0, 0, 0, 0)",
        "call('ptrace', 0, 0, 0, 0)",
        "call('process_vm_readv', os.getppid(), 0, 0, 0, 0, 0)",
        "call('bpf', 0, 0, 0)",
        "call('userfaultfd', 0)",
        "call('io_uring_setup', 1, 0)",
        "call('perf_event_open', 0, 0, 0, 0, 0)",
        "call('keyctl', 0, -3, 1)",
        "call('open_by_handle_at', -100, 0, 0)",
        "call('shmget', 0, 4096, 0o1600)",
        "call('personality', 0xffffffff)",
        "fcntl.fcntl(1, 1031, 1 << 20)",
        "fcntl.ioctl(1, 0x5412, b'x')",
        "ctypes.CDLL(None, use_errno=True).prctl(38, 0, 0, 0, 0) and call('prctl', 4, 1)",
        "__import__('grading')",
        *(f"socket.socket({family}, {kind})" for family in (1, 2, 10, 16, 17, 38, 40) for kind in (1, 2, 3)),
        "socket.socketpair()",
        "socket.create_connection(('127.0.0.1', 22), 1)",
    ],
)
def test_the_way_out_is_closed(worker_of, attempt):
    """Each attempt raises in the worker, and the worker lives on."""
    code = worker_of(f"{ATTEMPTS}def f():\n    {attempt}\n    return 'out'\ndef g(): return 1\n").module("code")
    with pytest.raises(RemoteError):
        code.f()
    assert code.g() == 1


@pytest.mark.usefixtures("fenced")
def test_a_thread_is_fenced_like_the_rest(worker_of):
    """The fence includes a thread that NumPy's matrix product started before student code ran."""
    source = (
        f"{ATTEMPTS}def f():\n    seen = []\n    def g():\n        try: seen.append(open('/etc/passwd').read())\n"
        "        except OSError as error: seen.append(type(error).__name__)\n"
        "    t = threading.Thread(target=g); t.start(); t.join()\n    return seen\n"
    )
    assert worker_of(source).module("code").f() in (["PermissionError"], ["FileNotFoundError"])


@pytest.mark.usefixtures("fenced")
def test_the_graders_folder_cannot_be_read(worker_of, root):
    """Neither tests nor manifest nor grader can be read from inside."""
    paths = [str(root / "milestones.yaml"), str(root / "grading" / "grade.py"), str(root / "noxfile.py")]
    source = f"def f(): return [read(p) for p in {paths!r}]\ndef read(p):\n    try: return open(p).read(9)\n"
    assert worker_of(f"{source}    except OSError: return None\n").module("code").f() == [None, None, None]


@pytest.mark.usefixtures("fenced")
def test_nothing_is_installed_there_but_numpy(worker_of):
    """No framework next to NumPy or in the system's Python can do the student's work."""
    places = "[*sys.path, *(p for root in (sys.base_prefix, '/usr', '/usr/local') for p in glob.glob(root + PATTERN))]"
    source = (
        f"{ATTEMPTS}PATTERN = '/lib*/python3*/*-packages'\n"
        f"def f():\n    found = []\n    for folder in {places}:\n"
        "        if '/m' not in folder:\n"
        "            found += [n for n in entries(folder) if readable(os.path.join(folder, n, '__init__.py'))]\n"
        "    return [n for n in found if not sys.modules.get(n) or n in ('numpy', 'msgpack')]\n"
        "def entries(folder):\n    try: return os.listdir(folder)\n    except OSError: return []\n"
        "def readable(path):\n    try: return bool(open(path, 'rb'))\n    except OSError: return False\n"
        "def g(): import pydantic\n"
    )
    code = worker_of(source).module("code")
    standard = {"numpy", "msgpack"} | set(sys.stdlib_module_names)
    assert set(code.f()) - standard <= {"__phello__", "test"}
    with pytest.raises(RemoteError, match="pydantic"):
        code.g()


@pytest.mark.usefixtures("fenced")
def test_what_is_covered_over_cannot_be_filled(worker_of):
    """A folder of packages may be a file system in memory there: it takes no file, unless it lies in the home."""
    body = "[open(f + '/x', 'w') for f in glob.glob('/usr/lib*/python3*/*-packages')]; open(np.__path__[0] + '/x', 'w')"
    code = worker_of(f"{ATTEMPTS}def f(): {body}\n").module("code")
    with pytest.raises(RemoteError):
        code.f()


@pytest.mark.usefixtures("fenced")
def test_computing_needs_nothing_that_is_refused(worker_of):
    """A framework may need its own files, threads, compiled code in memory, the clock and random numbers."""
    source = (
        f"{ATTEMPTS}import pathlib, tempfile, mmap, zipfile, shutil, queue, concurrent.futures, random, datetime\n"
        "import lzma, bz2, zlib, hashlib, decimal, sqlite3, uuid\n"
        "def f():\n"
        "    folder = pathlib.Path(tempfile.mkdtemp())\n"
        "    (folder / 'a').write_text('x'); (folder / 'a').rename(folder / 'b'); shutil.copyfile(folder / 'b', 'c')\n"
        "    (folder / 'd').mkdir(); os.replace('c', folder / 'd' / 'c'); (folder / 'b').touch()\n"
        "    np.savez(folder / 'z', a=np.arange(3)); held = np.load(folder / 'z.npz')['a'].sum()\n"
        "    m = np.lib.format.open_memmap(folder / 'm.npy', 'w+', 'f4', (9,)); m[:] = 1; m.flush(); del m\n"
        "    with tempfile.TemporaryFile() as file: file.write(b'x' * 99); file.flush(); os.fsync(file.fileno())\n"
        "    shutil.rmtree(folder)\n"
        "    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        "    with concurrent.futures.ThreadPoolExecutor(16) as pool: sums = list(pool.map(abs, range(40)))\n"
        "    time.sleep(0.01); datetime.datetime.now(); random.SystemRandom().random(); os.cpu_count()\n"
        "    resource.getrusage(resource.RUSAGE_SELF); threading.stack_size()\n"
        "    a = np.ones((300, 300)) @ np.ones((300, 300))\n"
        "    return [int(held), sum(sums), float(a[0, 0])]\n"
    )
    assert worker_of(source).module("code").f() == [3, 780, 300.0]


def test_nothing_of_the_environment_comes_through(worker_of, monkeypatch):
    """Secrets and Python's settings stay outside."""
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTHONSTARTUP", "/evil.py")
    code = worker_of(f"{ATTEMPTS}def f(): return sorted(os.environ)\n").module("code")
    names = code.f()
    assert "SECRET_TOKEN" not in names
    assert not any(n.startswith("PYTHON") for n in names)


def test_a_worker_has_the_environment_it_was_given(tmp_path, sandbox):
    """The worker has all of it and nothing else, even if the sandbox clears the inherited environment."""
    (tmp_path / "m" / "tinytorch").mkdir(parents=True)
    (tmp_path / "m" / "tinytorch" / "code.py").write_text("import os\ndef f(): return dict(os.environ)\n")
    confinement = launch.Confinement(
        tmp_path, ("m",), 2048, 60, sandbox=sandbox, threads=3, environment={"NUMBA_THREADING_LAYER": "workqueue"}
    )
    with Worker(confinement, call_seconds=5) as worker:
        found = worker.module("code").f()
    home = found["HOME"]
    expected = {**command._build_worker_environment(Path(home), 3), "NUMBA_THREADING_LAYER": "workqueue"}
    assert {name: text for name, text in found.items() if name != "PWD"} == expected  # bubblewrap adds PWD
    assert (home == bubblewrap.TMP) == (sandbox == "bubblewrap")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_used_again(worker_of):
    """Arrays that a training step creates and frees cost no new page faults in the next step."""
    source = (
        "import resource\nimport numpy as np\n"
        "def use(): return sum(len(array) for array in [np.ones(1 << 17) for _ in range(20)])\n"
        "def count(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def f():\n    use()\n    before = count()\n    [use() for _ in range(5)]\n    return count() - before\n"
    )
    assert worker_of(source).module("code").f() < 1000  # 25,000 if glibc returns the memory each time


@pytest.mark.parametrize("threads", [1, 2])
def test_matrix_products_use_the_threads_of_the_budget(tmp_path, sandbox, threads):
    """NumPy's own BLAS reports the budget's number of threads; more would only wait for each other."""
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
    """A package is requested by its import name.

    A missing one is the machine's error, with the command that shows it.
    """
    (tmp_path / "m" / "tinytorch").mkdir(parents=True)
    (tmp_path / "m" / "tinytorch" / "code.py").write_text("def f():\n    import yaml\n    return yaml.safe_load('1')\n")
    with Worker(
        launch.Confinement(tmp_path, ("m",), 2048, 60, sandbox=sandbox, packages=("yaml",)), call_seconds=5
    ) as worker:
        assert worker.module("code").f() == 1
    with pytest.raises(GraderError, match="no_such_package is not installed"):
        launch.launch(launch.Confinement(tmp_path, ("m",), 2048, 60, sandbox=sandbox, packages=("no_such_package",)))


def test_memory_has_an_end(worker_of):
    """An allocation beyond the budget raises MemoryError, and does not trouble the machine."""
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
    """A child that left its process group is stopped with the worker; behind a fence there never is one."""
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
    if sandbox != "process":
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
    """A file called numpy.py next to the student's files does not replace NumPy."""
    folder = tmp_path / "s"
    (folder / "m" / "tinytorch").mkdir(parents=True)
    (folder / "m" / "numpy.py").write_text("raise SystemExit('shadow')")
    (folder / "m" / "sitecustomize.py").write_text("raise SystemExit('shadow')")
    (folder / "m" / "tinytorch" / "code.py").write_text("import numpy\ndef f(): return numpy.__version__\n")
    with Worker(launch.Confinement(folder, ("m",), 2048, 60, sandbox=sandbox), call_seconds=5) as worker:
        assert worker.module("code").f()[0].isdigit()


def test_official_grading_without_a_sandbox_is_an_error(monkeypatch):
    """A missing sandbox is the machine's error, and nothing falls back to running without one."""
    monkeypatch.setattr(bubblewrap, "find_bubblewrap_problem", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(launch, "find_landlock_problem", lambda: "no Landlock")
    assert launch.choose_fence(official=False) == "process"
    with pytest.raises(GraderError, match="sandbox: bubblewrap is not installed; no Landlock"):
        launch.choose_fence(official=True)


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is a part of Linux")
def test_without_bubblewrap_landlock_is_the_fence(monkeypatch):
    """Landlock also serves for official grading."""
    monkeypatch.setattr(bubblewrap, "find_bubblewrap_problem", lambda: "no user namespaces")
    monkeypatch.setattr(launch, "find_landlock_problem", lambda: None)
    assert launch.choose_fence(official=False) == launch.choose_fence(official=True) == "landlock"


def test_a_fence_may_be_named(monkeypatch):
    """Tests may require one fence. The result is that fence or an error, and a plain process is never official."""
    monkeypatch.setattr(bubblewrap, "find_bubblewrap_problem", lambda: "not here")
    monkeypatch.setattr(launch, "find_landlock_problem", lambda: None)
    for name in ("bubblewrap", "moat"):
        monkeypatch.setenv(launch.VARIABLE, name)
        with pytest.raises(GraderError, match=name):
            launch.choose_fence(official=False)
    monkeypatch.setenv(launch.VARIABLE, "process")
    assert launch.choose_fence(official=False) == "process"
    with pytest.raises(GraderError, match="TINYTORCH_FENCE disables it"):
        launch.choose_fence(official=True)


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
