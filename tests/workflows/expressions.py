"""The part of GitHub's expressions that our workflows use, evaluated as GitHub does; anything else is an error."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w-]*)|(?P<sign>==|!=|&&|\|\||[!().,]))"
)
WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
EMBEDDED = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


class UnmodelledSyntaxError(Exception):
    """A part of GitHub's syntax that these tests do not support. Implement it here, or avoid it."""


class Context(dict[str, Any]):
    """A context with known keys: reading any other key is an error in the workflow, not an empty text."""

    def __init__(self, name: str, values: Mapping[str, Any]):
        super().__init__(values)
        self.name = name


def evaluate_expression(
    text: str, contexts: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]] | None = None
) -> Any:
    """Return the value of an expression, given without its `${{ }}`."""
    known = {"format": _format_placeholders, "fromJSON": json.loads, **(functions or {})}
    parser = _Parser(_split_tokens(text), contexts, known)
    value = parser.evaluate_or()
    if parser.rest:
        raise UnmodelledSyntaxError(f"{parser.rest[0][1]!r} in: {text}")
    return value


def interpolate_value(value: Any, contexts: Mapping[str, Any]) -> Any:
    """Fill in the expressions in a workflow's value. A value that is a single expression keeps its type."""
    if not isinstance(value, str):
        return value
    whole = EMBEDDED.fullmatch(value.strip())
    if whole and value.count("${{") == 1:
        return evaluate_expression(whole[1], contexts)
    return EMBEDDED.sub(lambda found: format_value(evaluate_expression(found[1], contexts)), value)


def evaluate_condition(text: str, contexts: Mapping[str, Any], *, cancelled: bool, succeeded: bool) -> bool:
    """Evaluate an `if`. Unless it checks the job's status itself, everything before it must have succeeded."""
    asked = []

    def is_cancelled() -> bool:
        """Return whether the run was cancelled, and note that the condition asked."""
        asked.append("cancelled")
        return cancelled

    inner = EMBEDDED.fullmatch(text.strip())
    value = is_true(evaluate_expression(inner[1] if inner else text, contexts, {"cancelled": is_cancelled}))
    return value and (bool(asked) or (succeeded and not cancelled))


def is_true(value: Any) -> bool:
    """Tell whether a value counts as true."""
    return not (value is None or value is False or value == "" or (value == 0 and not isinstance(value, bool)))


def format_value(value: Any) -> str:
    """Format a value as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        raise UnmodelledSyntaxError(f"an object within a text: {value!r:.80}")
    return str(value)


def are_loosely_equal(left: Any, right: Any) -> bool:
    """Apply GitHub's loose equality: texts ignore case, and different types are compared as numbers."""
    if isinstance(left, str) and isinstance(right, str):
        return left.casefold() == right.casefold()
    if type(left) is type(right):
        return bool(left == right)
    return _convert_to_number(left) == _convert_to_number(right)


def _convert_to_number(value: Any) -> float:
    """Convert a value to a number as GitHub does: null and "" become 0, and other texts become NaN."""
    if value is None:
        return 0
    if isinstance(value, bool | int | float):
        return float(value)
    try:
        return float(value) if value else 0
    except (TypeError, ValueError):
        return math.nan


def _format_placeholders(text: str, *values: Any) -> str:
    """Replace {0}, {1} and so on in a text with the values."""
    return re.sub(r"\{(\d+)\}", lambda found: format_value(values[int(found[1])]), text)


def _split_tokens(text: str) -> list[tuple[str, str]]:
    """Split an expression into (kind, text) pairs; raise an error for an unsupported token."""
    found, at = [], 0
    while text[at:].strip():
        match = TOKEN.match(text, at)
        if match is None:
            raise UnmodelledSyntaxError(f"{text[at:].strip()[:20]!r} in: {text}")
        found.append((str(match.lastgroup), str(match[str(match.lastgroup)])))
        at = match.end()
    return found


class _Parser:
    """A recursive-descent parser. It evaluates both sides of `&&` and `||`, so that nothing unknown is hidden."""

    def __init__(self, tokens: list[tuple[str, str]], contexts: Mapping[str, Any], functions: Mapping[str, Any]):
        self.rest, self.contexts, self.functions = tokens, contexts, functions

    def evaluate_or(self) -> Any:
        """Evaluate operands of `||`, and return the first that is true, or the last."""
        value = self.evaluate_and()
        while self.skip_if_next("||"):
            other = self.evaluate_and()
            value = value if is_true(value) else other
        return value

    def evaluate_and(self) -> Any:
        """Evaluate operands of `&&`, and return the first that is false, or the last."""
        value = self.evaluate_comparison()
        while self.skip_if_next("&&"):
            other = self.evaluate_comparison()
            value = other if is_true(value) else value
        return value

    def evaluate_comparison(self) -> Any:
        """Evaluate a comparison with `==` or `!=`, or a single operand."""
        value = self.evaluate_negation()
        while self.rest and self.rest[0][1] in ("==", "!="):
            sign = self.rest.pop(0)[1]
            value = are_loosely_equal(value, self.evaluate_negation()) == (sign == "==")
        return value

    def evaluate_negation(self) -> Any:
        """Evaluate an operand, negated if `!` precedes it."""
        return not is_true(self.evaluate_negation()) if self.skip_if_next("!") else self.evaluate_operand()

    def evaluate_operand(self) -> Any:
        """Return the value of a literal, a call, a context's property, or an expression in parentheses."""
        if not self.rest:
            raise UnmodelledSyntaxError("an expression that ends too early")
        kind, text = self.rest.pop(0)
        if text == "(":
            value = self.evaluate_or()
            self.require_next(")")
            return value
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind != "name":
            raise UnmodelledSyntaxError(text)
        if text in WORDS:
            return WORDS[text]
        if self.skip_if_next("("):
            return self.call_function(text)
        if text not in self.contexts:
            raise UnmodelledSyntaxError(f"the context {text}")
        value = self.contexts[text]
        while self.skip_if_next("."):
            value = _read_property(value, self.rest.pop(0)[1])
        return value

    def call_function(self, name: str) -> Any:
        """Read a function's arguments, and return its value."""
        arguments: list[Any] = []
        while not self.skip_if_next(")"):
            if arguments:
                self.require_next(",")
            arguments.append(self.evaluate_or())
        if name not in self.functions:
            raise UnmodelledSyntaxError(f"the function {name}")
        return self.functions[name](*arguments)

    def skip_if_next(self, sign: str) -> bool:
        """Return whether this symbol is next, and skip it if so."""
        if self.rest and self.rest[0] == ("sign", sign):
            self.rest.pop(0)
            return True
        return False

    def require_next(self, sign: str) -> None:
        """Skip this symbol, which must be next."""
        if not self.skip_if_next(sign):
            raise UnmodelledSyntaxError(f"no {sign!r} where one is due")


def _read_property(value: Any, key: str) -> Any:
    """Return a mapping's value, or None; raise an error for an unknown property of a context."""
    if isinstance(value, Context) and key not in value:
        raise UnmodelledSyntaxError(f"{value.name}.{key}")
    return value.get(key) if isinstance(value, dict) else None
