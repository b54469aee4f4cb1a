"""Every op of modules 02 to 08 is differentiated by module 09's tests, or stands there as one that has no gradient."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def test_no_op_is_forgotten(solutions: list[ModuleType]) -> None:
    """What is an Op in a module before 09 is in one of the two lists, and the lists name nothing else.

    Later modules, which module 09's worker does not see, differentiate their ops in their own tests, if at all.
    """
    spec = importlib.util.spec_from_file_location("autograd_tests", ROOT / "modules/09_autograd/test_autograd.py")
    assert spec is not None
    assert spec.loader is not None
    listed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(listed)
    earlier = [module for module in solutions if Path(module.__file__ or "").relative_to(ROOT).parts[1] < "09_autograd"]
    modules = {module.__name__.removeprefix("tinytorch."): module for module in earlier}
    op_type = modules["tensor"].Op
    names: dict[object, set[str]] = {}
    for module, code in modules.items():
        for name, value in vars(code).items():
            if isinstance(value, op_type):
                names.setdefault(value, set()).add(f"{module}.{name}")
    known = set(listed.EVERY_OP) | listed.NOT_DIFFERENTIABLE
    assert [sorted(of_one) for of_one in names.values() if not of_one & known] == []
    assert known <= set().union(*names.values())
