"""A package called `tinytorch` from the package index, which Python prefers to the folders that students write in."""

from __future__ import annotations

import importlib.util

REMOVE_SHADOW = "pip uninstall tinytorch"


def find_shadow() -> str | None:
    """The file of such a package; None where there is none.

    The course's `tinytorch` has no file of its own: it is a namespace, of one folder in each module. A package with an
    `__init__.py` hides all of it, wherever on the path it is.
    """
    try:
        spec = importlib.util.find_spec("tinytorch")
    except ValueError:  # it is imported already, and says nothing about itself
        return None
    return None if spec is None or spec.origin is None else spec.origin
