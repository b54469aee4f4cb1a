"""How a miniature is graded: what is typed, and in which environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PARTIAL = ("taken", "patience", "experiment", "images")
"""What an about.yaml may say to `partial.py`."""


def build_grading_command(about: dict[str, Any], peak: Path) -> list[str]:
    """The grader's own command line, with some checks taken as passed; its peak of memory is written to ``peak``."""
    how = {key: about[key] for key in PARTIAL if key in about} | {"peak": str(peak)}
    start = ["tests.submissions.partial", json.dumps(how)]
    what = ["module", about["module"]] if "module" in about else ["milestone", str(about.get("milestone", 1))]
    who = ["--student", about["student"]] if "student" in about else []
    return [sys.executable, "-P", "-m", *start, *what, "--seed", str(about.get("seed", 20)), *who]


def build_offline_environment(home: Path) -> dict[str, str]:
    """An environment without data sets, in which every download fails at once."""
    nowhere = "http://127.0.0.1:9"
    home = home / "home"
    return {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TINYTORCH_DATA": "",
        "https_proxy": nowhere,
        "http_proxy": nowhere,
    }
