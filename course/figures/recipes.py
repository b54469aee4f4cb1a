"""Load a milestone's recipe as a module. All recipes have the same file name, so none can be imported by name."""

from __future__ import annotations

import importlib.util
from functools import cache
from types import ModuleType

from course.figures.records import MODULES_FOLDER


@cache
def load_recipe(module_id: str) -> ModuleType:
    """Load the solution's recipe.py from a module's folder."""
    spec = importlib.util.spec_from_file_location(f"recipe_of_{module_id}", MODULES_FOLDER / module_id / "recipe.py")
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe
