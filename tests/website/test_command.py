"""`inv site` reports what was done, and what to fix."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.website.conftest import ClassOnDisk
from website.build import ROOT


def run_inv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `inv site` with these arguments."""
    command = [sys.executable, "-m", "invoke", "site", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "site")}  # nothing is installed in the session `tests`
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_it_builds_and_says_so(own_class: ClassOnDisk) -> None:
    """The first build writes everything, and the second nothing."""
    arguments = ("--records", str(own_class.records), "--to", str(own_class.site), "--roster", str(own_class.roster))
    first = run_inv(*arguments, "--leave-out", "zz-alan-canary")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("3 students, 3 rendered; ")
    assert run_inv(*arguments, "--leave-out", "zz-alan-canary").stdout.startswith("3 students, 0 rendered; ")
    assert (own_class.site / "index.html").is_file()


def test_wrong_use_is_a_sentence(own_class: ClassOnDisk) -> None:
    """The exit code is 2, there is no traceback, and nothing is written."""
    gone = run_inv("--records", str(own_class.records / "gone"), "--to", str(own_class.site))
    assert (gone.returncode, gone.stdout) == (2, "")
    assert "is not a folder" in gone.stderr
    assert "Traceback" not in gone.stderr
    own_class.roster.write_text("id,nmae\nx,y\n", "utf-8")
    wrong = run_inv("--records", str(own_class.records), "--to", str(own_class.site), "--roster", str(own_class.roster))
    assert wrong.returncode == 2
    assert "unknown column nmae" in wrong.stderr
    assert not own_class.site.exists()
