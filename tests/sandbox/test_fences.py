"""What docs/threat-model.md states about each fence is what a worker finds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from grading.remote import RemoteError, WorkerFailureError
from grading.sandbox import watch
from grading.sandbox.launch import FENCES
from tests.sandbox.attempts import ATTEMPTS

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = "/var/tmp" if os.environ.get("TMPDIR", "/tmp") == "/tmp" else os.environ["TMPDIR"]  # noqa: S108
TRIED = {
    "read its own files and Python's library": "open(__file__).read(); open(os.__file__).read(); import sqlite3, lzma",
    "write in its own folder": "open('x', 'w').write('x'); os.mkdir('d'); os.rename('x', 'd/x')",
    "start threads, compile code in memory": (
        "[t.start() for t in [threading.Thread(target=int) for _ in range(8)]]; mmap.mmap(-1, 4096, prot=7)"
    ),
    "change or delete its own source files": "open(__file__, 'a'); os.unlink(__file__)",
    "read a file of the machine": "open('/etc/passwd')",
    "read the course": f"open({str(ROOT / 'milestones.yaml')!r})",
    "read a data set": "open(DATA)",
    "import an installed package other than NumPy": "import pydantic",
    "read an installed package other than NumPy": f"open({pytest.__file__!r})",
    "list a folder of the machine": "os.listdir('/etc')",
    "see whether a file of the machine exists": "os.stat('/etc/passwd')",
    "write elsewhere in the machine's temporary folder": "open(OUTSIDE, 'w')",
    "change the permissions of its own files": "os.chmod(__file__, 0o644)",
    "read where the machine's disks are mounted": "open('/proc/self/mountinfo')",
    "read the environment of another process": "open(f'/proc/{os.getppid()}/environ')",
    "signal another process": "os.kill(os.getppid(), 0)",
    "start a process": "os.fork() or os._exit(0)",
    "become another program": "os.execv(sys.executable, ['python', '-c', 'import time; time.sleep(9)'])",
    "create a socket: internet": "socket.socket(socket.AF_INET)",
    "create a socket: netlink": "socket.socket(16, socket.SOCK_RAW)",
    "create a socket: another process on this machine": "socket.socket(socket.AF_UNIX)",
    "create an anonymous memory file": "os.memfd_create('x')",
    "use the kernel's rings, tracers and programs": "call('io_uring_setup', 0, 0)",
    "start thousands of threads": (
        "threading.stack_size(32768); [threading.Thread(target=time.sleep, args=(9,), daemon=True).start()"
        " for _ in range(3000)]; time.sleep(3)"
    ),
    "create thousands of files": "[open(f'f{n}', 'w').close() for n in range(10_000)]; time.sleep(3)",
    "fill the disk": "[open(f'f{n}', 'wb').write(bytes(32 << 20)) for n in range(20)]; time.sleep(3)",
    "take more memory than the budget": "kept = [bytearray(64 << 20) for _ in range(100)]",
}


def read_fence_table() -> dict[str, tuple[str, ...]]:
    """Read each row of the page's table of fences, with what it states about each fence."""
    page = (ROOT / "docs/threat-model.md").read_text("utf-8")
    rows = page.partition("| what student code tries | bubblewrap | Landlock | process |\n")[2].partition("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in rows.splitlines()[1:]]
    return {what: tuple(said) for what, *said in cells}


@pytest.mark.skipif(sys.platform != "linux", reason="the table is about Linux")
@pytest.mark.parametrize("what", TRIED)
def test_the_table_of_the_threat_model_is_true(worker_of, sandbox, what, tmp_path, monkeypatch):
    """Open means that the attempt succeeds. Closed means that it raises there, or kills the worker."""
    data, outside = tmp_path / "data" / "labels", tmp_path / "written"
    data.parent.mkdir()
    data.write_text("1")
    monkeypatch.setenv("TINYTORCH_DATA", str(data.parent))
    names = f"DATA, OUTSIDE = {str(data)!r}, {str(outside)!r}\n"
    code = worker_of(f"{ATTEMPTS}{names}import mmap\ndef f():\n    {TRIED[what]}\n", call_seconds=30).module("code")
    came_out = "open"
    try:
        code.f()
    except WorkerFailureError:  # ended; but a worker that has become another program has no answer to give
        came_out = "open" if "another program" in what else "closed"
    except (RemoteError, MemoryError) as error:
        came_out = "open" if "errno" in str(error) else "closed"
    assert came_out == read_fence_table()[what][FENCES.index(sandbox)]


def test_the_table_says_nothing_else():
    """Each of its lines is tried."""
    assert list(read_fence_table()) == list(TRIED)


def test_a_look_counts_what_has_no_name(tmp_path):
    """A file that was deleted while it is open still fills the disk."""
    with (tmp_path / "x").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, watch.MAX_BYTES + 4096)
        assert watch.describe_exceeded_resource_limit(os.getpid(), tmp_path, 10_000) == "it wrote more than 256 MB"
        (tmp_path / "x").unlink()
        assert watch.describe_exceeded_resource_limit(os.getpid(), tmp_path, 10_000) == "it wrote more than 256 MB"
    assert watch.describe_exceeded_resource_limit(os.getpid(), tmp_path, 10_000) is None
    assert "threads" in watch.describe_exceeded_resource_limit(os.getpid(), tmp_path, 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_hides_its_files_has_too_many(tmp_path):
    """Nothing but hiding makes a folder that its owner cannot read."""
    (tmp_path / "x").mkdir(0o300)
    assert "files" in watch.describe_exceeded_resource_limit(os.getpid(), tmp_path, 10_000)
    (tmp_path / "x").chmod(0o700)
