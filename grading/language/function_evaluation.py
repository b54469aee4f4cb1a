"""Run small functions that a network wrote.

They are parsed and evaluated node by node, and Python itself never runs them.

Any node that is not listed is refused. The sizes of numbers and lists and the number of operations are limited, so that
no text takes long.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grading.language.documents import Prompt
from grading.language.function_corpus import MAX_CONSTANT

Value = bool | int | float | list
LARGEST_NUMBER = 10**12
"""The largest absolute value that a number may have."""
LARGEST_EXPONENT = 8
LONGEST_LIST = 64
"""The maximum number of elements in a list."""
MOST_OPERATIONS = 5_000
CASES_PER_FUNCTION = 12
"""The number of inputs on which each function is run."""
MOST_TRIES = 500
"""The maximum number of inputs drawn for a function's cases.

Functions such as max(a - b, 9999) may have only one value.
"""


class RefusedError(Exception):
    """The error raised if a text is not a single function of the required kind, or cannot be evaluated.

    The message says why.
    """


@dataclass(frozen=True)
class FunctionCase:
    """One input, and the correct function's value for it."""

    arguments: tuple[Value, ...]
    expected: Value


def run_function(function: ast.FunctionDef, arguments: Sequence[Value]) -> Value:
    """Evaluate a parsed function on these arguments. Raise RefusedError if it fails, is forbidden or hits a limit.

    >>> run_function(parse_function("def larger(a, b):\\n    return max(a, b) / 2\\n"), (3, 8))
    4.0
    """
    names = [argument.arg for argument in function.args.args]
    if len(names) != len(arguments):
        raise RefusedError(f"it takes {len(names)} arguments, not {len(arguments)}")
    returned = function.body[-1]
    assert isinstance(returned, ast.Return)
    assert returned.value is not None
    return _ExpressionEvaluator(dict(zip(names, arguments, strict=True))).evaluate(returned.value)


def parse_function(source: str) -> ast.FunctionDef:
    """Parse one function with an optional docstring and one return. Raise RefusedError for any other text."""
    try:
        with warnings.catch_warnings():
            # Python warns about code such as `1is 2`, but the student could not act on the warning.
            warnings.simplefilter("ignore")
            body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RefusedError(f"it does not parse: {getattr(error, 'msg', error)}") from None
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
        raise RefusedError("it is not one function")
    function = body[0]
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    plain = ast.arguments([], [ast.arg(a.arg) for a in function.args.args], None, [], [], None, [])
    if function.decorator_list or function.returns or ast.dump(function.args) != ast.dump(plain):
        raise RefusedError("its first line is not plain names in parentheses")
    if len(statements) != 1 or not isinstance(statements[0], ast.Return) or statements[0].value is None:
        raise RefusedError("its body is not one return with a value")
    return function


class _ExpressionEvaluator:
    """An evaluator that computes the values of expressions for some arguments."""

    def __init__(self, names: dict[str, Value]):
        self._names = names
        self._operations = 0

    def evaluate(self, node: ast.expr) -> Value:
        """Compute a node's value. Raise RefusedError if its kind is not allowed, it fails, or a limit is exceeded."""
        self._operations += 1
        if self._operations > MOST_OPERATIONS:
            raise RefusedError("it takes too many operations")
        try:
            return _require_bounded(self._evaluate_node(node))
        except (ArithmeticError, TypeError, ValueError, IndexError, RecursionError) as error:
            raise RefusedError(f"{type(error).__name__}: {error}") from None

    def _evaluate_node(self, node: ast.expr) -> Any:
        """Compute a node's value. Raise RefusedError if its kind is not allowed."""
        match node:
            case ast.Constant(value=bool() | int() | float()):
                return node.value
            case ast.Name():
                if node.id not in self._names:
                    raise RefusedError(f"{node.id} is not defined")
                return self._names[node.id]
            case ast.UnaryOp() if type(node.op) in _UNARY:
                return _UNARY[type(node.op)](_require_number(self.evaluate(node.operand)))
            case ast.BinOp() if type(node.op) in _BINARY:
                left, right = _require_number(self.evaluate(node.left)), _require_number(self.evaluate(node.right))
                if isinstance(node.op, ast.Pow) and not 0 <= right <= LARGEST_EXPONENT:
                    raise RefusedError(f"{right} is not an exponent from 0 to {LARGEST_EXPONENT}")
                return _BINARY[type(node.op)](left, right)
            case ast.BoolOp():
                return self._evaluate_and_or(node)
            case ast.Compare() if all(type(op) in _COMPARISONS for op in node.ops):
                values = [_require_number(self.evaluate(operand)) for operand in (node.left, *node.comparators)]
                pairs = zip(node.ops, values, values[1:], strict=False)
                return all(_COMPARISONS[type(op)](left, right) for op, left, right in pairs)
            case ast.IfExp():
                return self.evaluate(node.body if self.evaluate(node.test) else node.orelse)
            case ast.List():
                return [self.evaluate(element) for element in node.elts]
            case ast.ListComp() | ast.GeneratorExp():
                return self._evaluate_comprehension(node)
            case ast.Subscript():
                return _require_list(self.evaluate(node.value))[
                    operator.index(_require_number(self.evaluate(node.slice)))
                ]
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _CALLS and name not in self._names:
                return _CALLS[name](*(self.evaluate(argument) for argument in node.args))
        raise RefusedError(f"{ast.unparse(node)[:60]} is not allowed in such a function")

    def _evaluate_and_or(self, node: ast.BoolOp) -> Value:
        """Compute operands up to the one that decides, and return its value, as Python does."""
        for operand in node.values[:-1]:
            value = self.evaluate(operand)
            if bool(value) is isinstance(node.op, ast.Or):
                return value
        return self.evaluate(node.values[-1])

    def _evaluate_comprehension(self, node: ast.ListComp | ast.GeneratorExp) -> list:
        """Compute the list that a comprehension produces. Raise RefusedError unless it has one `for` with one name."""
        if len(node.generators) != 1 or not isinstance(node.generators[0].target, ast.Name):
            raise RefusedError("a comprehension must have one `for`, with one name")
        loop, name = node.generators[0], node.generators[0].target.id
        outer, found = self._names, []
        items = _require_list(self.evaluate(loop.iter))
        for item in items:
            self._names = {**outer, name: item}
            if all(self.evaluate(test) for test in loop.ifs):
                found.append(self.evaluate(node.elt))
        self._names = outer
        return found


def _require_number(value: Any) -> Any:
    """Return the value if it is a number or bool. Raise RefusedError if it is a list."""
    if isinstance(value, list):
        raise RefusedError("a list is used as a number")
    return value


def _require_list(value: Any) -> list:
    """Return the value if it is a list. Raise RefusedError if it is a number."""
    if not isinstance(value, list):
        raise RefusedError("a number is used as a list")
    return value


def _require_bounded(value: Any) -> Value:
    """Return the value if it is within the limits. Raise RefusedError if a list is too long or a number too large."""
    if isinstance(value, list):
        if len(value) > LONGEST_LIST:
            raise RefusedError("a list becomes too long")
    elif not isinstance(value, bool | int | float) or not abs(value) <= LARGEST_NUMBER:  # which also rules out NaN
        raise RefusedError("a number becomes too large")
    return value


_UNARY: dict[type, Callable] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
_BINARY: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type, Callable] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_CALLS: dict[str, Callable] = {
    "abs": lambda x: abs(_require_number(x)),
    "max": lambda *values: max(_require_list(values[0]) if len(values) == 1 else values),
    "min": lambda *values: min(_require_list(values[0]) if len(values) == 1 else values),
    "sum": lambda values: sum(map(_require_number, _require_list(values))),
    "len": lambda values: len(_require_list(values)),
    "any": lambda values: any(_require_list(values)),
    "all": lambda values: all(_require_list(values)),
    "list": lambda values: list(_require_list(values)),
}


def draw_function_cases(prompt: Prompt, rng: np.random.Generator) -> list[FunctionCase]:
    """Draw up to 12 inputs with the values that the correct function has for them, preferably not all equal."""
    function = parse_function(prompt.text + prompt.answer)
    cases: list[FunctionCase] = []
    for tries in range(MOST_TRIES):
        if len(cases) == CASES_PER_FUNCTION:
            break
        arguments = draw_arguments(function, rng)
        try:
            expected = run_function(function, arguments)
        except RefusedError:  # for example the first number in an empty list
            continue
        if (
            len(cases) < CASES_PER_FUNCTION - 1
            or tries == MOST_TRIES - 1
            or any(not is_same_value(expected, other.expected) for other in cases)
        ):
            cases.append(FunctionCase(arguments, expected))
    return cases


def draw_arguments(function: ast.FunctionDef, rng: np.random.Generator) -> tuple[Value, ...]:
    """Draw a number for each parameter, or a list followed by numbers if the function iterates over a list."""
    count = len(function.args.args)
    if any(isinstance(node, ast.comprehension) for node in ast.walk(function)):
        return (*_draw_list_and_number(rng), *rng.integers(1, 100, max(0, count - 2)).tolist())[:count]
    most = 2 * MAX_CONSTANT if rng.random() < 0.5 else 9  # so that there are values on both sides of the constants
    return tuple(rng.integers(-most, most + 1, count).tolist())


def _draw_list_and_number(rng: np.random.Generator) -> tuple[Value, ...]:
    """Draw a list of numbers, and a number that may be in it."""
    number = int(rng.integers(1, 10))
    items = rng.integers(-9, 31, rng.integers(1, 6)).tolist()
    if rng.random() < 0.3:
        items[rng.integers(len(items))] = number
    return items, number


def find_completion_mistake(prompt: Prompt, completion: str, cases: Sequence[FunctionCase]) -> str | None:
    """Describe the mistake in a completion, or return None if it computes the same values as the correct one."""
    try:
        function = parse_function(prompt.text + completion)
        for case in cases:
            got = run_function(function, case.arguments)
            if not is_same_value(got, case.expected):
                return f"for {', '.join(map(str, case.arguments))} it returns {got}, not {case.expected}"
    except RefusedError as error:
        return str(error)
    return None


def is_same_value(got: Value, expected: Value) -> bool:
    """Return whether two values are equal, with numbers compared up to rounding. A bool does not equal any number."""
    if isinstance(got, list) or isinstance(expected, list):
        lists = isinstance(got, list) and isinstance(expected, list) and len(got) == len(expected)
        return lists and all(map(is_same_value, got, expected))  # type: ignore[arg-type]
    if isinstance(got, bool) or isinstance(expected, bool):
        return got is expected
    return math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-9)
