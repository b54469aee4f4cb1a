"""A file imports only what has been introduced; what would hide an import is named too."""

from __future__ import annotations

import ast

import pytest

from course.skeleton import skeleton
from grading.audit import audit, stored_data
from grading.manifest.load import load
from grading.manifest.model import Status
from grading.submission import source_files


@pytest.fixture
def check(root):
    """Audit a text as a module's file."""
    manifest = load(root)

    def run(text: str, module: str = "03_activations", *, recipe: bool = False):
        return audit(text, f"modules/{module}/tinytorch/x.py", manifest.module(module), manifest, recipe=recipe)

    return run


@pytest.mark.parametrize(
    "text",
    [
        "import numpy as np\nfrom math import erf\n",
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import Any\n",
        "from tinytorch.tensor import Tensor, apply\nimport tinytorch.tensor\nfrom tinytorch import tensor\n",
        "'''import torch'''\n# import torch\n",
    ],
)
def test_what_has_been_introduced_is_allowed(check, text):
    """NumPy, small helpers of Python, and earlier modules."""
    assert check(text) == []


def test_numba_is_its_compiler_and_nothing_more(check):
    """Module 13 may import njit; addresses, Python's objects, the compiler itself and LLVM are closed."""
    assert check("from numba import njit, prange\n", "13_kernels") == []
    doors = ["objmode", "carray", "core", "cfunc", "extending", "types", "generated_jit", "experimental"]
    texts = [f"from numba import {door}\n" for door in doors] + ["import numba\n", "import numba.core\n"]
    texts += ["from numba.core import types\n", "from numba import *\n", "import llvmlite.binding\n"]
    for text in texts:
        assert "import of" in check(text, "13_kernels")[0].got, text
    assert check("from numba import njit\n", "12_compression")


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
    assert failure.title == "The file is valid Python"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("WEIGHTS = '" + "abcdefgh " * 1200 + "'\n", "10,800 characters of text"),
        ("WEIGHTS = " + " + ".join(["'" + "x" * 150 + "'"] * 30) + "\n", "4,500 characters in words of more than 30"),
        ("WEIGHTS = '" + "A" * 1001 + "'\n", "1,001 characters in words"),
        ("def f():\n    '''" + "A" * 1100 + "'''\n", "1,100 characters in words"),
        (f"WEIGHTS = {[0.5] * 501}\n", "501 numbers"),
        (f"WEIGHTS = {bytes(range(97, 107)) * 500}\n", "5,000 characters in words"),
    ],
)
def test_stored_data_is_found(check, text, words):
    """Weights trained elsewhere need a place: strings, bytes or numbers, wherever they stand."""
    assert [words in failure.got for failure in check(text)][:1] == [True]


def test_the_courses_own_files_stay_far_from_the_bounds(root):
    """Whoever writes twice as much as the course, with the skeleton's hints, is not told that it is data."""
    manifest = load(root)
    for file in source_files(manifest, [m for m in manifest.modules if m.status is Status.BUILT]):
        text = (root / file.path).read_text()
        for given in (text, skeleton(text, manifest, file.path)):
            body = ast.parse(given).body
            assert list(stored_data(ast.Module(body + body, []))) == [], file.path


def test_docstrings_may_be_long(check):
    """Explanations are what a file should have."""
    assert check("def f():\n    '''" + "a word " * 2000 + "'''\n") == []
