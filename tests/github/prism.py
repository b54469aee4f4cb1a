"""Prism between a client and the fake GitHub checks every request and answer against GitHub's own description."""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TOOL = Path("node_modules/@stoplight/prism-cli/dist/index.js")


def install_prism() -> str | None:
    """Install, once, what package-lock.json pins; return a sentence if that is impossible, else None."""
    pinned = (HERE / "package-lock.json").read_bytes()
    done = HERE / "node_modules" / ".installed"
    with (HERE / ".gitignore").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        return None if done.is_file() and done.read_bytes() == pinned else _run_npm(pinned, done)


def _run_npm(pinned: bytes, done: Path) -> str | None:
    """Install the pinned packages with npm; return a sentence if it fails, else None."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node and npm are not installed; they run the proxy that checks requests against GitHub's description"
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    ran = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if ran.returncode:
        return f"npm ci in tests/github failed: {ran.stderr.strip()[-300:]}"
    done.write_bytes(pinned)
    return None


@contextmanager
def start_proxy(upstream: str, description: dict[str, Any], folder: Path) -> Iterator[str]:
    """Start a proxy in front of `upstream` and yield its address; `folder` takes its files."""
    document, log = folder / "github.json", folder / "prism.log"
    document.write_text(json.dumps(description), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    node = ["node", "--require", str(HERE / "manual-redirect.cjs"), str(HERE / TOOL)]
    command = [*node, "proxy", str(document), upstream, "--errors", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for_proxy(process, url, log)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_for_proxy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until the proxy answers."""
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{url}/repos/nobody/nothing", timeout=5)  # noqa: S310 - our own address
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the proxy did not start:\n{log.read_text(errors='replace')[-2000:]}")
