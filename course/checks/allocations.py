"""No test allocates an array or limits a loop with a size that comes from the student."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from course.checks.course_tree import CourseTree
from grading.manifest.problems import Problem
from grading.render.progress_watch import ProgressWatch

SOURCES = {"student", "worker"}
"""The parameters that contain values from the student's process."""
ALLOCATING = frozenset(
    """arange bytearray bytes broadcast_to choice empty empty_like eye full full_like identity indices integers
    linspace ndindex normal ones ones_like pad permutation random range repeat resize standard_normal tile uniform
    zeros zeros_like""".split()
)
"""The functions and methods that take sizes or counts as arguments."""


def check_sizes_come_from_judge(course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """No test allocates an array or limits a loop with a size that comes from the student."""
    watch.begin_phase("Following values from student code through the tests", None)
    files = [*(module.tests for module in course.built_modules), *course.integration_tests]
    files += [path.relative_to(course.root) for path in sorted((course.root / "grading/testing").glob("*.py"))]
    return [problem for path in files for problem in find_student_sized_allocations(course.read_text(path), path)]


def find_student_sized_allocations(python_source: str, path: Path) -> list[Problem]:
    """Find the calls such as `zeros` and `range`, and the repeated lists, with a size that comes from the student."""
    fix = "Write the size as a constant, or take it from `values(…)`, whose sizes are limited."
    return [
        Problem(path.as_posix(), line, f"`{text}` takes a size from the student.", fix)
        for line, text in sorted(set(_TaintAnalysis(ast.parse(python_source)).find_tainted_allocations()))
    ]


class _TaintAnalysis:
    """Finds the names with values from the student in each function of a file, whatever the order of assignment.

    Values that student code returns are tainted. So is anything that is computed from them, stored in a list with them,
    or passed to another function in the file. Results of `expect` and `values` are not tainted, since `expect` compares
    values and `values` limits their sizes.
    """

    def __init__(self, tree: ast.Module):
        self.parts = [part for part in tree.body if isinstance(part, ast.FunctionDef | ast.ClassDef)]
        self.functions = {part.name: part for part in self.parts if isinstance(part, ast.FunctionDef)}
        self.tainted: dict[str, set[str]] = {part.name: set() for part in self.parts}
        self.returning: set[str] = set()
        """The functions in this file that return tainted values."""
        before = -1
        while (found := len(self.returning) + sum(map(len, self.tainted.values()))) > before:
            before = found
            for part in self.parts:
                for node in ast.walk(part):
                    self._propagate_taint(node, part.name)

    def find_tainted_allocations(self) -> Iterator[tuple[int, str]]:
        """Yield (line number, text) of each allocating call or repeated list whose size comes from the student."""
        for part in self.parts:
            for node in ast.walk(part):
                if self._is_any_tainted(self._list_size_expressions(node, part.name), part.name):
                    yield node.lineno, ast.unparse(node)  # type: ignore[attr-defined]  # an expression

    def _list_size_expressions(self, node: ast.AST, function_name: str) -> list[ast.expr]:
        """List the parts of an expression that determine how much memory it allocates in the judge's process."""
        match node:
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in ALLOCATING:
                return [] if self._is_tainted(node.func, function_name) else _list_arguments(node)
            case ast.BinOp(left=ast.List(), op=ast.Mult(), right=count):
                return [count]
        return []

    def _is_tainted(self, node: ast.AST, function_name: str) -> bool:
        """Return whether an expression holds a value from the student that could serve as an unlimited size."""
        match node:
            case ast.Name():
                return node.id in self.tainted[function_name] or node.id in SOURCES
            case ast.Compare() | ast.Constant():
                return False
            case ast.Call(func=ast.Name(id="values") | ast.Attribute(value=ast.Name(id="expect"))):
                return False  # a comparison, or an array of bounded size in the judge's process
            case ast.Call(func=ast.Name(id="bool" | "float" | "isinstance" | "type")):
                return False  # no size
            case ast.Call(func=ast.Name(id="min"), args=parts):
                return all(self._is_tainted(part, function_name) for part in parts)  # the judge's own limit
            case ast.ListComp(elt=each) | ast.SetComp(elt=each) | ast.GeneratorExp(elt=each):
                return self._is_tainted(each, function_name)
            case ast.Call(func=ast.Name(id=name)) if name in self.functions:
                return name in self.returning
            case ast.Call() if not self._is_tainted(node.func, function_name):
                return self._is_any_tainted(_list_arguments(node), function_name)
        return self._is_any_tainted(ast.iter_child_nodes(node), function_name)

    def _is_any_tainted(self, nodes: Iterable[ast.AST], function_name: str) -> bool:
        """Return whether any of these expressions is tainted."""
        return any(self._is_tainted(node, function_name) for node in nodes)

    def _propagate_taint(self, node: ast.AST, function_name: str) -> None:
        """Taint the names and parameters to which this node passes tainted values, and functions that return one."""
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._taint_targets(target, value, function_name)
            case ast.Return(value=ast.expr()) | ast.Yield(value=ast.expr()):
                if self._is_tainted(node, function_name):
                    self.returning.add(function_name)
            case ast.NamedExpr(target=target, value=value) | ast.AugAssign(target=target, value=value):
                self._taint_targets(target, value, function_name)
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                self._taint_loop_targets(target, value, function_name)
            case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                self._taint_targets(target, value, function_name)
            case ast.Call(func=ast.Attribute(value=ast.Name() as kept, attr="append" | "extend"), args=[value]):
                self._taint_targets(kept, value, function_name)  # its list contains the value
            case ast.Call(func=ast.Name(id=name)) if name in self.functions:
                self._taint_call_parameters(node, self.functions[name], function_name)
            case ast.Call() if self._is_tainted(node.func, function_name):
                for argument in _list_arguments(node):
                    self._taint_callback_parameters(argument, function_name)

    def _taint_targets(self, target: ast.AST, value: ast.AST, function_name: str) -> None:
        """Taint those targets of an assignment whose values are tainted."""
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, its in zip(target.elts, value.elts, strict=True):
                self._taint_targets(one, its, function_name)
        elif self._is_tainted(value, function_name):
            self._taint_names(target, function_name)

    def _taint_loop_targets(self, target: ast.AST, values: ast.AST, function_name: str) -> None:
        """Taint those targets of a loop that receive tainted elements."""
        match target, values:
            case ast.Tuple(elts=[_, target]), ast.Call(func=ast.Name(id="enumerate"), args=[values, *_]):
                self._taint_loop_targets(target, values, function_name)
            case ast.Tuple(elts=targets), ast.Call(func=ast.Name(id="zip"), args=each) if len(targets) == len(each):
                for one, its in zip(targets, each, strict=True):
                    self._taint_loop_targets(one, its, function_name)
            case ast.Tuple(), ast.Tuple(elts=rows) | ast.List(elts=rows):
                for row in rows:
                    self._taint_targets(target, row, function_name)
            case _:
                self._taint_targets(target, values, function_name)

    def _taint_names(self, target: ast.AST, function_name: str) -> None:
        """Taint every name that a target changes, such as `a` and `b` in `a, b[0]`."""
        while isinstance(target, ast.Attribute | ast.Subscript | ast.Starred):
            target = target.value
        for part in target.elts if isinstance(target, ast.Tuple | ast.List) else ():
            self._taint_names(part, function_name)
        if isinstance(target, ast.Name):
            self.tainted[function_name].add(target.id)

    def _taint_call_parameters(self, node: ast.Call, function: ast.FunctionDef, function_name: str) -> None:
        """Taint those parameters of a function in this file to which this call passes tainted values."""
        given = zip(_list_parameters(function), node.args, strict=False)
        for name, value in (*given, *((keyword.arg, keyword.value) for keyword in node.keywords)):
            if name is not None and self._is_tainted(value, function_name):
                self.tainted[function.name].add(name)

    def _taint_callback_parameters(self, callback: ast.AST, enclosing_function: str) -> None:
        """Taint the parameters of a lambda or local function that is passed to student code."""
        if isinstance(callback, ast.Lambda):
            self.tainted[enclosing_function].update(_list_parameters(callback))
        elif isinstance(callback, ast.Name) and enclosing_function in self.functions:
            for inner in ast.walk(self.functions[enclosing_function]):
                if isinstance(inner, ast.FunctionDef) and inner.name == callback.id:
                    self.tainted[enclosing_function].update(_list_parameters(inner))


def _list_arguments(call: ast.Call) -> list[ast.expr]:
    """List the values of a call's arguments."""
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _list_parameters(function: ast.FunctionDef | ast.Lambda) -> list[str]:
    """List the names of a function's parameters."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [argument.arg for argument in every if argument is not None]
