"""`tito milestone demo 2 --web` as it is typed: from the address to Ctrl+C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120
TYPED = """
from grading.data.digits import load_digits
from grading.demos import image_classifier
image_classifier.obtain = lambda *_: load_digits()  # nothing is downloaded here
import sys
from tito.app import main
sys.argv = ["tito", "milestone", "demo", "2", "--web", "--no-browser"]
main()
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the command in the course's repository, with the digits that stand in for MNIST."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)}
    started = subprocess.Popen(
        [sys.executable, "-c", TYPED],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # As at a terminal: what a shell runs in the background, this test perhaps, is born ignoring Ctrl+C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    yield started
    started.kill()
    started.wait()
    started.stdout.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_interrupted(running: subprocess.Popen[str], tmp_path: Path, how: signal.Signals) -> None:
    """The printed address answers. Ctrl+C or SIGTERM ends the command successfully, and leaves nothing behind."""
    address = next(found[0] for line in running.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+/\S+/$", line)))
    with requests.Session() as session:
        session.trust_env = False
        assert "Draw a digit" in session.get(address, timeout=SECONDS).text
        answer = session.post(
            f"{address}answer",
            json={"strokes": [[[500, 100], [500, 900]]]},
            headers={"Origin": re.match(r"http://[^/]+", address)[0]},
            timeout=SECONDS,
        ).json()
    assert len(answer["probabilities"]) == 10
    running.send_signal(how)
    rest, _ = running.communicate(timeout=SECONDS)
    assert running.returncode == 0
    assert rest.rstrip().endswith("The page has been closed.")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tinytorch")]
