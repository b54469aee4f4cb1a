"""What a student's file imports, read from its text; nothing is run."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType

from grading.manifest.model import Manifest, Module
from grading.manifest.problems import did_you_mean
from grading.result import Failure

HARMLESS = frozenset(
    """
    __future__ abc bisect cmath collections contextlib copy dataclasses datetime decimal enum fractions functools heapq
    itertools math numbers operator pprint re reprlib statistics string textwrap time types typing warnings weakref
    """.split()
)
"""Part of the language as far as this course goes: they compute and hold values, open no file, start nothing and import
nothing by its name. (`random` is not here: the course's randomness comes from a generator that is passed in.)"""
HIDING = frozenset("__import__ __builtins__ __loader__ __spec__ compile eval exec".split())
"""Names that would let a file import or run what its text does not show."""
REACHING = HIDING - {"compile", "eval", "exec"} | frozenset(
    "__globals__ __subclasses__ __code__ __closure__ CodeType FunctionType LambdaType get_type_hints".split()
)
"""The same as attributes and in `from … import`, and what leads there from any function or class."""
TYPE_CHECKING = "typing.TYPE_CHECKING"
LONGEST = 8
"""Parts of a dotted name that are followed."""

OFFERED = {
    "numba": frozenset("njit prange vectorize boolean float32 float64 int32 int64 uint8".split()),
    "gc": frozenset("collect disable enable isenabled".split()),
}
"""Packages of which a file may import these names and no others. The rest of Numba takes addresses for arrays, calls
back into Python from compiled code, adds to the compiler itself, or is LLVM. The rest of gc lists every object, and
so every module."""
LOOKING = 'It only helps you to look at your code: delete the import, or put it below `if __name__ == "__main__":`.'
PASSED_IN = "What the functions need is passed in, and what they make is returned"
INSTEAD = {
    "random secrets": "Draw from the generator that is passed in, such as rng.normal(size=…): the same seed then gives "
    "the same result.",
    "torch tensorflow keras jax scipy sklearn pandas cupy autograd tinygrad mxnet einops": "It would do what you are "
    "here to learn: write it with NumPy.",
    "pdb ipdb bdb IPython icecream rich logging traceback inspect timeit cProfile tqdm matplotlib seaborn plotly PIL "
    "cv2 unittest pytest doctest": LOOKING,
    "os pathlib io json pickle csv shutil glob tempfile zipfile gzip": f"{PASSED_IN}: nothing here uses files.",
    "sys platform gc ctypes signal": f"{PASSED_IN}: nothing here depends on the machine.",
    "subprocess multiprocessing threading concurrent asyncio socket urllib http requests": "Nothing here starts or "
    "fetches anything: compute in the function itself.",
}
"""Packages that a file might import and may not → what to do without them."""
Names = Mapping[str, set[str]]
"""What a file's imports call things → their full dotted names."""
Finding = tuple[int, str, str]
"""Line, what is there, and what to do about it."""


def audit_imports(
    tree: ast.Module, path: str, module: Module, manifest: Manifest, *, recipe: bool = False
) -> list[Failure]:
    """Every import the file may not make, and every name that would hide one."""
    earlier = {m.name: m for m in manifest.modules if m.number < module.number or (recipe and m.id == module.id)}
    later = {m.name: m for m in manifest.modules if m.name not in earlier}
    rules = _Rules(HARMLESS | set(module.imports), earlier, later)
    return [
        Failure(
            title="The file imports only what this module allows",
            got=f"{path}:{line}: {what}",
            expected=rules.in_words(),
            hint=why,
            file=path,
            line=line,
        )
        for line, what, why in sorted(set(_find_violations(tree, rules)))
    ]


@dataclass(frozen=True)
class _Rules:
    """What one file may import."""

    allowed: frozenset[str]
    earlier: Mapping[str, Module]
    later: Mapping[str, Module]

    def in_words(self) -> str:
        own = [f"tinytorch.{name}" for name in self.earlier]
        helpers = "and Python's own small helpers such as math, typing"
        return "only " + ", ".join([*sorted(self.allowed - HARMLESS), *own, helpers])

    def against_import(self, name: str) -> str | None:
        """What to do about an import of this dotted name; None where it is allowed."""
        top, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        if top != "tinytorch":
            if top in self.allowed and top in OFFERED and rest not in OFFERED[top]:
                offered = ", ".join(sorted(OFFERED[top]))
                return f"Write `from {top} import …`, and of its names only {offered}."
            return None if top in self.allowed else self._without(top)
        if part in self.later:
            return f"It comes in {self.later[part].id}: don't import the future."
        if part in ("", *self.earlier):
            return None
        return f"The course has no module of this name. {did_you_mean(part, self.earlier)}".rstrip()

    def _without(self, top: str) -> str:
        """What to do about a package that is refused."""
        for names, instead in INSTEAD.items():
            if top in names.split():
                return instead
        if top in {**self.earlier, **self.later}:
            return f"Write the whole name: from tinytorch.{top} import …"
        close = difflib.get_close_matches(top, self.allowed, n=1)
        advice = f"Did you mean `{close[0]}`?" if close else "Delete the import, and write what it gave you yourself."
        return f"`{top}` is not part of this module. {advice}"

    def leads_to(self, name: str) -> str | None:
        """The forbidden module that a dotted name of something allowed is: `warnings.sys` is `sys`."""
        top, *parts = name.split(".")
        if top == "tinytorch":
            if len(parts) == 1 and parts[0] in self.later:
                return name
            passed_on = len(parts) == 2 and parts[0] in self.earlier and parts[1] in self.earlier[parts[0]].imports
            return parts[1] if passed_on and parts[1] not in self.allowed else None
        if top not in self.allowed:
            return None  # its import is refused
        place: object = importlib.import_module(top) if top in sys.stdlib_module_names else sys.modules.get(top)
        known = top
        for part in parts:
            known = f"{known}.{part}"
            # What has a place of its own, as `os.path` has, is no way out. Only what is there already is looked at.
            place = sys.modules.get(known) or getattr(place, "__dict__", {}).get(part)
        if not parts or known in sys.modules or not isinstance(place, ModuleType):
            return None
        return None if place.__name__.partition(".")[0] in self.allowed else place.__name__


def _find_violations(tree: ast.Module, rules: _Rules) -> Iterator[Finding]:
    names = _imported_names(tree)
    for node in _walk_what_runs(tree, names):
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    if why := rules.against_import(alias.name):
                        yield node.lineno, f"import of {alias.name}", why
            case ast.ImportFrom(level=level) if level:
                yield node.lineno, "a relative import", "Write the whole name: from tinytorch.tensor import Tensor."
            case ast.ImportFrom(module=base, names=aliases):
                yield from _from_import(node.lineno, base or "", [alias.name for alias in aliases], rules)
            case ast.Name(id=name) if name in HIDING:
                yield node.lineno, name, f"`{name}` can run what the file does not show; write the code itself."
            case ast.Attribute(attr=name) if name in REACHING:
                yield node.lineno, f".{name}", _reaching(name)
            case ast.Attribute():
                for dotted in _full_names(node, names):
                    if found := rules.leads_to(dotted):
                        yield node.lineno, dotted, _leading(dotted, found)
                    if dotted == TYPE_CHECKING and not isinstance(node.ctx, ast.Load):
                        yield node.lineno, f"{dotted} is changed", "It says what type checkers see; leave it alone."


def _from_import(line: int, base: str, names: list[str], rules: _Rules) -> Iterator[Finding]:
    """Of `from base import names`; a base that is refused is named once, unless what counts is each name."""
    each = base == "tinytorch" or base.partition(".")[0] in OFFERED
    if not each and (why := rules.against_import(base)):
        yield line, f"import of {base}", why
        return
    for name in names:
        dotted = f"{base}.{name}"
        if each and dotted != "tinytorch.*" and (why := rules.against_import(dotted)):
            yield line, f"import of {dotted}", why
        elif name in REACHING:
            yield line, f"import of {dotted}", _reaching(name)
        elif found := rules.leads_to(dotted):
            yield line, f"import of {dotted}", _leading(dotted, found)


def _reaching(name: str) -> str:
    return f"`{name}` leads to what the file does not show; leave it alone."


def _leading(dotted: str, module: str) -> str:
    return f"`{dotted}` is the module `{module}`, which is not part of this module under any name."


def _imported_names(tree: ast.Module) -> Names:
    """What each name that an import binds may stand for."""
    names: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names.setdefault(alias.asname or top, set()).add(alias.name if alias.asname else top)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names.setdefault(alias.asname or alias.name, set()).add(f"{node.module}.{alias.name}")
    return names


def _full_names(node: ast.expr, names: Names) -> list[str]:
    """The dotted names that `np.linalg.norm` may be, given what `np` may be; none where no import bound the first."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < LONGEST:
        parts.append(node.attr)
        node = node.value
    known = names.get(node.id, ()) if isinstance(node, ast.Name) else ()
    return [".".join([start, *reversed(parts)]) for start in known]


def _walk_what_runs(tree: ast.Module, names: Names) -> Iterator[ast.AST]:
    """Every node but those that never run where a file is imported: below TYPE_CHECKING or __name__ == "__main__"."""
    bound = _bound_otherwise(tree)
    sure = {name: known for name, known in names.items() if name not in bound}
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.If) and _is_never_true(node.test, sure, bound):
            todo += node.orelse
        else:
            todo += ast.iter_child_nodes(node)


def _is_never_true(test: ast.expr, names: Names, bound: set[str]) -> bool:
    match test:
        case ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")]):
            return "__name__" not in bound
    return _full_names(test, names) == [TYPE_CHECKING]


def _bound_otherwise(tree: ast.Module) -> set[str]:
    """Every name that anything but an import gives a value: such a name may not be what it says."""
    bound: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name) | ast.MatchMapping(rest=str(name)):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                bound.add(name)
    return bound
