"""Which packages workers see follows from the modules they are started for."""

from __future__ import annotations

import importlib.util

import pytest

from grading.errors import GraderError
from grading.manifest.loader import load_manifest
from grading.workers import list_worker_packages


def test_numba_is_shown_from_module_13_on(root):
    """Workers of the modules before it, and so of milestones 1 to 3, see NumPy alone."""
    modules = load_manifest(root).modules
    assert list_worker_packages(m for m in modules if m.number < 13) == ()
    assert list_worker_packages(m for m in modules if m.number <= 13) == ("numba", "llvmlite")


def test_a_missing_package_is_named_with_its_command(root, monkeypatch):
    """What is not installed is the machine's error, before a worker is started."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(GraderError, match=r'module 13_kernels needs numba.*pip install "numba>=0\.61"'):
        list_worker_packages([load_manifest(root).module("13_kernels")])
