"""Every op of the framework is differentiated by module 09's tests, or stands there as one that has no gradient."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def test_no_op_is_forgotten(solutions: list[ModuleType]) -> None:
    """What is an Op in a built module is in one of the two lists, and the lists name nothing else."""
    spec = importlib.util.spec_from_file_location("autograd_tests", ROOT / "modules/09_autograd/test_autograd.py")
    assert spec is not None
    assert spec.loader is not None
    listed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(listed)
    modules = {module.__name__.removeprefix("tinytorch."): module for module in solutions}
    op_type = modules["tensor"].Op
    names: dict[object, set[str]] = {}
    for module, code in modules.items():
        for name, value in vars(code).items():
            if isinstance(value, op_type):
                names.setdefault(value, set()).add(f"{module}.{name}")
    known = set(listed.EVERY_OP) | listed.NOT_DIFFERENTIABLE
    assert [sorted(of_one) for of_one in names.values() if not of_one & known] == []
    assert known <= set().union(*names.values())
