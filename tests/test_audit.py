"""A file imports only what has been introduced; what would hide an import is named too."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from grading.audit import HARMLESS, audit_imports
from grading.manifest.loader import load_manifest
from grading.result import Failure
from grading.syntax import parse_source


@pytest.fixture
def check(root):
    """Audit a text as a module's file."""
    manifest = load_manifest(root)

    def run(text: str, module: str = "03_activations", *, recipe: bool = False):
        """Return the audit's failures for this text, or the failure to parse it."""
        path = f"modules/{module}/tinytorch/x.py"
        tree = parse_source(text, path)
        if isinstance(tree, Failure):
            return [tree]
        return audit_imports(tree, path, manifest.module(module), manifest, recipe=recipe)

    return run


@pytest.mark.parametrize(
    "text",
    [
        "import numpy as np\nfrom math import erf\n",
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import Any\n",
        "from tinytorch.tensor import Tensor, apply\nimport tinytorch.tensor\nfrom tinytorch import tensor\n",
        "'''import torch'''\n# import torch\n",
        "import tinytorch\nimport tinytorch.tensor\nx = tinytorch.tensor.Tensor([1.0])\n",
        *(f"import {name}\n" for name in sorted(HARMLESS - {"__future__"})),
        "from contextlib import contextmanager\nfrom copy import deepcopy\nfrom statistics import fmean\n",
        "import collections.abc\nfrom collections import abc\nfrom types import SimpleNamespace, TracebackType\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tinytorch.dense import SGD\n    import jax\n",
        "import typing as t\nif t.TYPE_CHECKING:\n    from pathlib import Path\nelse:\n    import math\n",
        "if __name__ == '__main__':\n    import matplotlib.pyplot as plt\n    import time\n",
    ],
)
def test_what_has_been_introduced_is_allowed(check, text):
    """NumPy, small helpers of Python, and earlier modules."""
    assert check(text) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import random", "generator that is passed in"),
        ("import torch", "Write it with NumPy"),
        ("from scipy.signal import convolve2d", "Write it with NumPy"),
        ("import pdb", "__main__"),
        ("import matplotlib.pyplot as plt", "__main__"),
        ("import os", "as arguments"),
        ("import pickle", "files"),
        ("import sys", "as arguments"),
        ("import multiprocessing", "Compute in the function itself"),
        ("import tensor", "from tinytorch.tensor import"),
        ("import nunpy as np", "Did you mean `numpy`?"),
        ("from tinytorch.tenser import Tensor", "Did you mean `tensor`?"),
        ("import antigravity", "Delete the import"),
    ],
)
def test_what_to_do_without_a_package_depends_on_the_package(check, line, words):
    """What draws numbers is not written with NumPy, and neither is a debugger."""
    (failure,) = check(line + "\n")
    assert words in failure.hint
    assert ("NumPy" in failure.hint) == ("NumPy" in words)


def test_numba_is_its_compiler_and_nothing_more(check):
    """Module 13 may import njit; addresses, Python's objects, the compiler itself and LLVM are closed."""
    assert check("from numba import njit, prange\n", "13_kernels") == []
    doors = ["objmode", "carray", "core", "cfunc", "extending", "types", "generated_jit", "experimental"]
    texts = [f"from numba import {door}\n" for door in doors] + ["import numba\n", "import numba.core\n"]
    texts += ["from numba.core import types\n", "from numba import *\n", "import llvmlite.binding\n"]
    for text in texts:
        assert "import of" in check(text, "13_kernels")[0].got, text
    assert check("from numba import njit\n", "12_compression")


def test_the_garbage_collector_can_be_switched_and_nothing_more(check):
    """Module 14 may pause the collector; what lists every object, and with it every module, is closed."""
    assert check("from gc import collect, disable, enable, isenabled\n", "14_benchmarking") == []
    for text in ("import gc\n", "from gc import get_objects\n", "from gc import *\n", "from gc import callbacks\n"):
        assert "import of" in check(text, "14_benchmarking")[0].got, text
    assert check("from gc import disable\n", "13_kernels")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("import numpy\nimport torch\n", 2, "import of torch"),
        ("from torch.nn import functional\n", 1, "import of torch.nn"),
        ("def f():\n    import ctypes\n", 2, "import of ctypes"),
        ("import os, subprocess\n", 1, "import of subprocess"),
        ("import tinytorch.layers\n", 1, "import of tinytorch.layers"),
        ("from tinytorch import layers\n", 1, "import of tinytorch.layers"),
        ("from tinytorch.autograd import Tape\n", 1, "import of tinytorch.autograd"),
        ("from tinytorch.tensr import Tensor\n", 1, "import of tinytorch.tensr"),
        ("from .tensor import Tensor\n", 1, "relative import"),
        ("import importlib\n", 1, "import of importlib"),
        ("x = __import__('torch')\n", 1, "__import__"),
        ("exec('import torch')\n", 1, "exec"),
        ("f = eval\n", 1, "eval"),
        ("__builtins__['open']\n", 1, "__builtins__"),
        ("import grading\n", 1, "import of grading"),
        ("import numpy as np\nt = np.__builtins__['__import__']\n", 2, "__builtins__"),
        ("import math\nmath.__loader__.load_module('torch')\n", 2, "__loader__"),
        ("().__class__.__base__.__subclasses__()\n", 1, "__subclasses__"),
        ("(lambda: 0).__globals__\n", 1, "__globals__"),
        ("# coding: utf-7\n# +AAo-import torch\n", 1, "utf-7"),
        ("#!/usr/bin/python\n# vim: set fileencoding=raw_unicode_escape :\n# \\u000aimport torch\n", 1, "unicode"),
        ("# coding: no-such-encoding\n", 1, "unknown"),
        ("import tinytorch\nLayer = tinytorch.layers.Layer\n", 2, "tinytorch.layers"),
        ("import tinytorch.tensor\ntinytorch.autograd\n", 2, "tinytorch.autograd"),
        ("import warnings\nwarnings.sys.modules['torch']\n", 2, "warnings.sys"),
        ("import statistics as s\ns.random.random()\n", 2, "statistics.random"),
        ("from contextlib import os\n", 1, "contextlib.os"),
        ("from enum import bltns as b\n", 1, "enum.bltns"),
        ("from tinytorch.setup import os\n", 1, "tinytorch.setup.os"),
        ("import tinytorch.setup as s\ns.sys.exit()\n", 2, "tinytorch.setup.sys"),
        ("from types import CodeType\n", 1, "CodeType"),
        ("import types\ntypes.FunctionType\n", 2, "FunctionType"),
        ("import typing\ntyping.get_type_hints\n", 2, "get_type_hints"),
        ("TYPE_CHECKING = True\nif TYPE_CHECKING:\n    import torch\n", 3, "import of torch"),
        ("from typing import TYPE_CHECKING\nTYPE_CHECKING = 1\nif TYPE_CHECKING:\n    import os\n", 4, "import of os"),
        ("from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    import torch\n", 3, "import of torch"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    import torch\n", 5, "torch"),
        ("from math import pi as TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n", 3, "import of torch"),
        ("import typing\ntyping.TYPE_CHECKING = True\n", 2, "typing.TYPE_CHECKING is changed"),
        ("def f(TYPE_CHECKING):\n    if TYPE_CHECKING:\n        import torch\n", 3, "import of torch"),
        ("__name__ = '__main__'\nif __name__ == '__main__':\n    import torch\n", 3, "import of torch"),
        ("if __name__ != '__main__':\n    import torch\n", 2, "import of torch"),
        ("import random\n", 1, "import of random"),
    ],
)
def test_what_has_not_is_named_with_its_line(check, text, line, words):
    """Somebody else's framework, the system, the future, and names that hide what is imported."""
    found = [f for f in check(text) if words in (f.got or "")]
    assert found
    assert found[0].line == line
    assert found[0].hint


@pytest.mark.parametrize("text", ["# -*- coding: utf-8 -*-\nx = 1\n", "\ufeffx = 1\n", "x = 1\n\n# coding: utf-7\n"])
def test_utf_8_may_be_said(check, text):
    """The usual comment and byte order mark are harmless, and so is what stands below the first two lines."""
    assert check(text) == []


def test_the_future_is_called_by_its_name(check):
    """The hint says which module brings it."""
    assert "04_layers" in check("import tinytorch.layers\n")[0].hint


def test_a_recipe_may_import_its_own_module(check):
    """recipe.py of 04 builds with the layers of 04; 04 itself cannot import itself."""
    assert check("from tinytorch.layers import Dense\n", "04_layers", recipe=True) == []
    assert check("from tinytorch.layers import Dense\n", "04_layers")


@pytest.mark.parametrize(
    "text",
    ["def f(:\n", "x = (\n", "\tx\n y\n", "(" * 5000, "x = " + "-" * 100_000 + "1\n", "if True:\npass\n", "0o9\n"],
    ids=["colon", "open", "tabs", "nested", "deep", "indent", "digit"],
)
def test_a_file_that_is_not_python_is_one_failure(check, text):
    """With file, line and what Python said; never an exception."""
    (failure,) = check(text)
    assert failure.file
    assert failure.title == "The file must be valid Python"


def test_a_long_chain_of_attributes_is_audited_quickly(check):
    """Ten thousand parts of a name, or as many names, take no longer than they are read."""
    assert check("import math\nmath" + ".a" * 900 + "\n") == []
    assert check("import math\n" + "math.pi\n" * 10_000) == []


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_nothing_but_helpers_comes_with_a_star(name):
    """`from statistics import *` brings no module that an import of its own could not."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
    brought = [getattr(module, n) for n in names if isinstance(getattr(module, n), ModuleType)]
    assert [m.__name__ for m in brought if m.__name__.partition(".")[0] not in HARMLESS] == []
