"""Operators for two mistakes that students make but Cosmic Ray does not: forgotten statements and arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Name, PythonNode
from parso.tree import BaseNode, NodeOrLeaf

Position = tuple[tuple[int, int], tuple[int, int]]


class ForgetStatement(Operator):
    """Replaces an assignment, or a call made for its side effect, with `pass`."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        """Yield the position of this node if it is a call or an assignment that is a statement by itself."""
        if node.parent is None or node.parent.type != "simple_stmt" or node is not node.parent.children[0]:
            return
        effect = node.type == "expr_stmt" or (
            node.type in ("atom_expr", "power") and node.children[-1].type == "trailer"
        )
        if effect:
            yield node.start_pos, node.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:  # noqa: ARG002 - one position, so one index
        """Return the statement `pass`, which replaces ``node``."""
        return Name("pass", node.start_pos, prefix=node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> Iterable[Example]:
        """Return small examples of the change."""
        return (Example("check(x)\n", "pass\n"),)


class ForgetKeywordArgument(Operator):
    """Leaves a keyword argument out of a call."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        """Yield the position of each `name=value` in this node if it is a call's arguments."""
        for argument in _find_keyword_arguments(node):
            yield argument.start_pos, argument.end_pos

    def mutate(self, node: BaseNode, index: int) -> BaseNode:
        """Remove the keyword argument with this index, counting from 0, and its comma; return the changed node."""
        at = node.children.index(_find_keyword_arguments(node)[index])
        alone = node.type == "trailer"
        first = at if alone else max(at - 1, 0)
        del node.children[first : first + (1 if alone else 2)]
        return node

    @classmethod
    def examples(cls) -> Iterable[Example]:
        """Return small examples of the change."""
        return (Example("f(x, axis=0)", "f(x)"), Example("f(axis=0, *x)", "f( *x)"), Example("f(axis=0)", "f()"))


OWN_OPERATORS = (ForgetStatement, ForgetKeywordArgument)


def _find_keyword_arguments(node: NodeOrLeaf) -> list[PythonNode]:
    """Find the keyword arguments in a call's arguments; there are none in any other node."""
    if not isinstance(node, BaseNode) or node.type not in ("arglist", "trailer"):
        return []
    return [c for c in node.children if c.type == "argument" and getattr(c.children[1], "value", "") == "="]
