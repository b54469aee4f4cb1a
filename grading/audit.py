"""Find forbidden imports in a student's file by reading its text. Nothing is run."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType

from grading.manifest.model import Manifest, Module
from grading.manifest.problems import suggest_name
from grading.result import Failure

HARMLESS = frozenset(
    """
    __future__ abc bisect cmath collections contextlib copy dataclasses datetime decimal enum fractions functools heapq
    itertools math numbers operator pprint re reprlib statistics string textwrap time types typing warnings weakref
    """.split()
)
"""Modules that count as part of the language. They compute and store values, but do not open files, start processes or
import anything by name. (`random` is missing because randomness comes from a generator that is passed in.)
"""
HIDING = frozenset("__import__ __builtins__ __loader__ __spec__ compile eval exec".split())
"""Names with which a file could import or run code that its text does not show."""
REACHING = HIDING - {"compile", "eval", "exec"} | frozenset(
    "__globals__ __subclasses__ __code__ __closure__ CodeType FunctionType LambdaType get_type_hints".split()
)
"""Attributes, and names in `from … import`, through which any function or class gives access to hidden code."""
TYPE_CHECKING = "typing.TYPE_CHECKING"
LONGEST = 8
"""The maximum number of parts of a dotted name that are resolved."""

OFFERED = {
    "numba": frozenset("njit prange vectorize boolean float32 float64 int32 int64 uint8".split()),
    "gc": frozenset("collect disable enable isenabled".split()),
}
"""Packages from which a file may import only the listed names. Numba's other names turn addresses into arrays, call
back into Python from compiled code, extend the compiler or expose LLVM. The other names in gc list every object, and
therefore every module.
"""
LOOKING = 'This package only helps to inspect code. Delete the import or move it below `if __name__ == "__main__":`.'
PASSED_IN = "Functions receive everything as arguments and return their results"
INSTEAD = {
    "random secrets": "Use the generator that is passed in, such as rng.normal(size=…), so that the same seed gives "
    "the same result.",
    "torch tensorflow keras jax scipy sklearn pandas cupy autograd tinygrad mxnet einops": "It does what you are here "
    "to learn. Write it with NumPy.",
    "pdb ipdb bdb IPython icecream rich logging traceback inspect timeit cProfile tqdm matplotlib seaborn plotly PIL "
    "cv2 unittest pytest doctest": LOOKING,
    "os pathlib io json pickle csv shutil glob tempfile zipfile gzip": f"{PASSED_IN}: no code here uses files.",
    "sys platform gc ctypes signal": f"{PASSED_IN}: no code here depends on the machine.",
    "subprocess multiprocessing threading concurrent asyncio socket urllib http requests": "No code here starts a "
    "process or a download. Compute in the function itself.",
}
"""Advice for packages that a file might try to import: what to do instead."""
Names = Mapping[str, set[str]]
"""A mapping from the names that a file's imports bind to the full dotted names that they may stand for."""
Finding = tuple[int, str, str]
"""A line number, what was found on that line, and what to do about it."""


def audit_imports(
    tree: ast.Module, path: str, module: Module, manifest: Manifest, *, recipe: bool = False
) -> list[Failure]:
    """List forbidden imports, and names that could hide one, outside a file's TYPE_CHECKING and __main__ blocks."""
    earlier = {m.name: m for m in manifest.modules if m.number < module.number or (recipe and m.id == module.id)}
    later = {m.name: m for m in manifest.modules if m.name not in earlier}
    rules = _ImportRules(HARMLESS | set(module.imports), earlier, later)
    return [
        Failure(
            title="The file imports only what this module allows",
            got=f"{path}:{line}: {what}",
            expected=rules.describe_allowed(),
            hint=why,
            file=path,
            line=line,
        )
        for line, what, why in sorted(set(_find_import_violations(tree, rules)))
    ]


@dataclass(frozen=True)
class _ImportRules:
    """The imports that are allowed in one file."""

    allowed: frozenset[str]
    earlier: Mapping[str, Module]
    later: Mapping[str, Module]

    def describe_allowed(self) -> str:
        """Describe the allowed imports."""
        own = [f"tinytorch.{name}" for name in self.earlier]
        helpers = "and Python's own small helpers such as math, typing"
        return "only " + ", ".join([*sorted(self.allowed - HARMLESS), *own, helpers])

    def explain_forbidden_import(self, name: str) -> str | None:
        """Explain what to do about an import of this dotted name, or return None if it is allowed."""
        top, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        if top != "tinytorch":
            if top in self.allowed and top in OFFERED and rest not in OFFERED[top]:
                offered = ", ".join(sorted(OFFERED[top]))
                return f"Write `from {top} import …`, and import only these names: {offered}."
            return None if top in self.allowed else self._suggest_alternative(top)
        if part in self.later:
            return f"It is introduced in {self.later[part].id}: don't import the future."
        if part in ("", *self.earlier):
            return None
        return f"The course has no module with this name. {suggest_name(part, self.earlier)}".rstrip()

    def _suggest_alternative(self, package_name: str) -> str:
        """Explain what to do instead of importing a forbidden package."""
        for names, instead in INSTEAD.items():
            if package_name in names.split():
                return instead
        if package_name in {**self.earlier, **self.later}:
            return f"Write the full name: from tinytorch.{package_name} import …"
        close = difflib.get_close_matches(package_name, self.allowed, n=1)
        advice = f"Did you mean `{close[0]}`?" if close else "Delete the import and write the code yourself."
        return f"This module does not use `{package_name}`. {advice}"

    def find_forbidden_module(self, name: str) -> str | None:
        """Find the forbidden module that a name below an allowed one refers to, such as `sys` for `warnings.sys`.

        Return None if there is none, or if the name begins with a forbidden module: its import is already reported.
        """
        top, *parts = name.split(".")
        if top == "tinytorch":
            if len(parts) == 1 and parts[0] in self.later:
                return name
            passed_on = len(parts) == 2 and parts[0] in self.earlier and parts[1] in self.earlier[parts[0]].imports
            return parts[1] if passed_on and parts[1] not in self.allowed else None
        if top not in self.allowed:
            return None
        place: object = importlib.import_module(top) if top in sys.stdlib_module_names else sys.modules.get(top)
        known = top
        for part in parts:
            known = f"{known}.{part}"
            # A submodule of an allowed module, such as `os.path`, is fine. Only loaded modules are inspected.
            place = sys.modules.get(known) or getattr(place, "__dict__", {}).get(part)
        if not parts or known in sys.modules or not isinstance(place, ModuleType):
            return None
        return None if place.__name__.partition(".")[0] in self.allowed else place.__name__


def _find_import_violations(tree: ast.Module, rules: _ImportRules) -> Iterator[Finding]:
    """Yield every import, name and attribute that the rules forbid in code that an import of the file may run."""
    names = _map_imported_names(tree)
    for node in _walk_code_reachable_on_import(tree, names):
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    if why := rules.explain_forbidden_import(alias.name):
                        yield node.lineno, f"import of {alias.name}", why
            case ast.ImportFrom(level=level) if level:
                yield node.lineno, "a relative import", "Write the full name: from tinytorch.tensor import Tensor."
            case ast.ImportFrom(module=base, names=aliases):
                yield from _check_from_import(node.lineno, base or "", [alias.name for alias in aliases], rules)
            case ast.Name(id=name) if name in HIDING:
                yield node.lineno, name, f"`{name}` can run code that is not in the file. Write that code directly."
            case ast.Attribute(attr=name) if name in REACHING:
                yield node.lineno, f".{name}", _explain_hidden_code_access(name)
            case ast.Attribute():
                for dotted in _list_full_names(node, names):
                    if found := rules.find_forbidden_module(dotted):
                        yield node.lineno, dotted, _explain_forbidden_module(dotted, found)
                    if dotted == TYPE_CHECKING and not isinstance(node.ctx, ast.Load):
                        yield node.lineno, f"{dotted} is changed", "Only type checkers use it. Do not change it."


def _check_from_import(line: int, base: str, names: list[str], rules: _ImportRules) -> Iterator[Finding]:
    """Find violations in `from base import names`. A forbidden base is reported once, not for each name."""
    each = base == "tinytorch" or base.partition(".")[0] in OFFERED
    if not each and (why := rules.explain_forbidden_import(base)):
        yield line, f"import of {base}", why
        return
    for name in names:
        dotted = f"{base}.{name}"
        if each and dotted != "tinytorch.*" and (why := rules.explain_forbidden_import(dotted)):
            yield line, f"import of {dotted}", why
        elif name in REACHING:
            yield line, f"import of {dotted}", _explain_hidden_code_access(name)
        elif found := rules.find_forbidden_module(dotted):
            yield line, f"import of {dotted}", _explain_forbidden_module(dotted, found)


def _explain_hidden_code_access(name: str) -> str:
    """Explain why a name that gives access to hidden code is forbidden."""
    return f"`{name}` gives access to code that is not in the file. Do not use it."


def _explain_forbidden_module(dotted: str, module: str) -> str:
    """Explain why a dotted name that refers to a forbidden module is forbidden."""
    return f"`{dotted}` is the module `{module}`, which may not be used under any name."


def _map_imported_names(tree: ast.Module) -> Names:
    """Map each name that an absolute import binds to the full dotted names that it may stand for."""
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


def _list_full_names(node: ast.expr, names: Names) -> list[str]:
    """List the full names that `np.linalg.norm` may have. The list is empty if no import bound its first part."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < LONGEST:
        parts.append(node.attr)
        node = node.value
    known = names.get(node.id, ()) if isinstance(node, ast.Name) else ()
    return [".".join([start, *reversed(parts)]) for start in known]


def _walk_code_reachable_on_import(tree: ast.Module, names: Names) -> Iterator[ast.AST]:
    """Walk every node that importing may run, including function bodies but not TYPE_CHECKING or __main__ blocks."""
    bound = _find_rebound_names(tree)
    sure = {name: known for name, known in names.items() if name not in bound}
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.If) and _is_false_at_import(node.test, sure, bound):
            todo += node.orelse
        else:
            todo += ast.iter_child_nodes(node)


def _is_false_at_import(test: ast.expr, names: Names, bound: set[str]) -> bool:
    """Return whether a condition is TYPE_CHECKING or the `__main__` test, both of which are false during import."""
    match test:
        case ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")]):
            return "__name__" not in bound
    return _list_full_names(test, names) == [TYPE_CHECKING]


def _find_rebound_names(tree: ast.Module) -> set[str]:
    """Find every name that something other than an import binds. Such a name's meaning is uncertain."""
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
