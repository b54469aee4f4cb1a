"""Each version of Landlock closes the files of the machine; later ones close more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grading.worker import landlock

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or landlock.read_landlock_version() == 0,
    reason="this kernel has no Landlock, or has it switched off",
)
WORKER = Path(landlock.__file__).parent
SOURCE = """
import ctypes, os, pathlib, socket, sys
sys.path.insert(0, {worker!r})
import landlock
landlock.read_landlock_version = lambda: {version}
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
home, other = pathlib.Path("home"), pathlib.Path("other")
landlock.restrict_files({{"home": landlock.WRITE, "other": landlock.LIST, "missing": landlock.READ}})
def tried(action):
    try: return action() is not PermissionError
    except PermissionError: return False
    except OSError as error: return error.errno == 18
def connect():
    with socket.socket() as made: made.connect(("127.0.0.1", 9))
(home / "a").write_text("a"); (home / "d").mkdir(); (home / "a").read_text(); (home / "a").rename(home / "b")
print(*map(int, [
    tried(lambda: list(other.iterdir())), tried(lambda: (other / "secret").read_text()),
    tried(lambda: (other / "new").touch()), tried(lambda: open("/etc/passwd")), tried(lambda: os.listdir("/")),
    tried(lambda: os.symlink("/", home / "link")), tried(lambda: os.mkfifo(home / "pipe")),
    tried(lambda: os.execv(sys.executable, ["python"])),
]), end=" ")
try: connect()
except OSError as error: print(error.errno, end=" ")
try: os.kill(os.getppid(), 0); print("signal")
except PermissionError: print("no signal")
"""


@pytest.mark.parametrize("version", range(1, 1 + landlock.read_landlock_version() if sys.platform == "linux" else 1))
def test_each_version_closes_what_it_knows(version, tmp_path):
    """Files in every version: listed, but not read, made, linked or executed. TCP from 4 on, signals from 6 on."""
    (tmp_path / "home").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_text("x")
    source = SOURCE.format(worker=str(WORKER), version=version)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", source], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    refused, unanswered = 13, 111
    network = refused if version >= 4 else unanswered
    signal = "no signal" if version >= 6 else "signal"
    assert done.stdout.strip() == f"1 0 0 0 0 0 0 0 {network} {signal}", done.stderr
