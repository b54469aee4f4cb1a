"""A runner's machine for these tests. A stub answers commands that would change it, and logs each call."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

STUBBED = ("pip", "sudo", "apt-get", "sysctl")
KEPT_OUT = ("GITHUB_", "ACTIONS_", "RUNNER_", "TINYTORCH_", "NOX_", "PYTEST_", "COV_")
FENCE = "TINYTORCH_FENCE"
"""What `nox -s hostile` may ask for."""
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "{log}"
"""
STUB_PYTHON = """#!/bin/sh
# python3 -m venv DIR: a folder whose pip and nox are stubs, too. Whatever else it is asked for writes nothing.
echo "python3 $1 $2" >> "{log}"
[ "$2" = venv ] || exit 0
mkdir -p "$3/bin"
cp "{stubs}/pip" "$3/bin/pip"
cp "{stubs}/pip" "$3/bin/nox"
"""


def write_stubs(folder: Path, *names: str) -> Path:
    """Write stubs into a folder, and return the file in which they log their calls."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "calls"
    log.touch()
    for name in names:
        path = folder / name
        path.write_text((STUB_PYTHON if name == "python3" else STUB).format(log=log, stubs=folder))
        path.chmod(0o755)
    return log


def build_runner_environment(folder: Path, *stubbed: str) -> tuple[dict[str, str], Path]:
    """Build a runner's environment from the stubs, without anything of ours that a job would not have."""
    stubs = folder / "stubs"
    log = write_stubs(stubs, *STUBBED, *stubbed)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(KEPT_OUT) or name == FENCE}
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "FORCE_COLOR", "NO_COLOR", "CI"):
        kept.pop(name, None)
    caches = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    path = [str(stubs), str(Path(sys.executable).parent), os.environ["PATH"]]
    return kept | {
        "PATH": os.pathsep.join(path),
        "XDG_CACHE_HOME": str(folder / "cache"),  # no result of an earlier run is reused
        "UV_COMPILE_BYTECODE": "0",  # what is imported is compiled then
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(caches / "uv")),
        "NOX_SCRIPT_MODE": "none",  # this environment has what the noxfile imports; test_docs runs nox without
        "COLUMNS": "200",
    }, log


def has_nox() -> bool:
    """Tell whether `nox` can be called as the workflows do."""
    return (Path(sys.executable).parent / "nox").is_file() or shutil.which("nox") is not None
