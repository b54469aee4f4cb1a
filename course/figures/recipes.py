"""A milestone's recipe as a module: every trigger module has a file of that name, so none can be imported by it."""

from __future__ import annotations

import importlib.util
from functools import cache
from types import ModuleType

from course.figures.records import MODULES


@cache
def load_recipe(module: str) -> ModuleType:
    """The solution's recipe.py in a module's folder."""
    spec = importlib.util.spec_from_file_location(f"recipe_of_{module}", MODULES / module / "recipe.py")
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe
