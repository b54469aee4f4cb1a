"""What a session of nox is called, and the artifact its result travels in."""

from __future__ import annotations

import re

from grading.result import Result

SESSION = re.compile(r"milestone-[1-9]\d{0,2}|module-\d\d_[a-z0-9_]{1,40}")
ARTIFACT = "tinytorch-"
FILE = "result.json"


def artifact_of(session: str) -> str:
    """The artifact that holds its result."""
    return f"{ARTIFACT}{session}"


def order(result: Result) -> tuple[int, str]:
    """Modules before milestones, each in the course's order: what comes first is to be mended first."""
    return (result.milestone or 0, result.module or "")
