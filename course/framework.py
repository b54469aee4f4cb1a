"""Make the course's own framework importable in this process if it is not installed, as in nox sessions."""

from __future__ import annotations

import sys
from pathlib import Path

from grading.manifest.loader import load_manifest
from grading.manifest.model import BuildStatus

ROOT = Path(__file__).resolve().parents[1]


def put_framework_on_path() -> None:
    """Append each built module's folder to `sys.path`: `tinytorch` is the course's unless another is installed."""
    folders = [
        str(ROOT / module.folder) for module in load_manifest(ROOT).modules if module.status is BuildStatus.BUILT
    ]
    sys.path += [folder for folder in folders if folder not in sys.path]
