"""Detect a package named `tinytorch` from the package index, which Python would prefer to the student's folders."""

from __future__ import annotations

import importlib.util

REMOVE_SHADOW = "pip uninstall tinytorch"


def find_shadowing_package() -> str | None:
    """Find the file of a package that hides the course's `tinytorch`; return None if there is none.

    The course's `tinytorch` has no file of its own. It is a namespace package with one folder in each module. A package
    with an `__init__.py` hides all these folders, wherever it is on the path.
    """
    try:
        spec = importlib.util.find_spec("tinytorch")
    except ValueError:  # already imported, without a spec
        return None
    return None if spec is None or spec.origin is None else spec.origin
