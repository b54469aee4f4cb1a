"""A lesson on a terminal: figures as they were drawn, formulas in letters, answers that wait for a key."""

from __future__ import annotations

import os
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Markdown
from rich.syntax import Syntax
from rich.text import Text

FOLD = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.DOTALL)
PICTURE = re.compile(r"^!\[([^\]]*)\]\(([^)]*)\)\\\n", re.MULTILINE)
FORMULA = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
PAGER = "-EFRSX"
"""For less: end with the text, colours, long lines whole (the arrow keys move sideways), and leave it on the screen."""

SIGNS = {
    "cdot": "·", "times": "×", "div": "÷", "pm": "±", "sum": "Σ", "prod": "Π", "int": "∫", "partial": "∂",
    "nabla": "∇", "infty": "∞", "to": "→", "rightarrow": "→", "leftarrow": "←", "mapsto": "↦", "approx": "≈",
    "neq": "≠", "ne": "≠", "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "in": "∈", "dots": "…", "ldots": "…",
    "cdots": "⋯", "odot": "⊙", "top": "ᵀ", "mid": "|", "quad": "  ", "qquad": "    ",
}  # fmt: skip
LOWERED = str.maketrans("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
RAISED = str.maketrans("0123456789+-=()inT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿᵀ")


@dataclass(frozen=True)
class Part:
    """A stretch of a lesson, and the question that ends it with its answer."""

    text: str
    question: str | None = None
    answer: str = ""


class Figure(CodeBlock):
    """A block of code or a drawing, never wrapped: a figure whose lines are broken shows nothing."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its lines, each as long as it is."""
        code = textwrap.dedent(str(self.text).rstrip())
        text = Syntax(code, self.lexer_name, theme="ansi_dark").highlight(code)
        text.rstrip()
        text.no_wrap, text.overflow = True, "ignore"
        yield text


class Lesson(Markdown):
    """Markdown with such figures."""

    elements = Markdown.elements | {"fence": Figure, "code_block": Figure}


def show_lesson(
    text: str,
    out: Console,
    *,
    ask: Callable[[str], str] | None = None,
    page: Callable[[Console, Lesson], None] | None = None,
) -> None:
    """Show a lesson up to each question, and its answer once Enter was pressed; without ``ask`` at once."""
    page = page or _page
    for part in split_lesson(text):
        if part.text.strip():
            page(out, Lesson(write_formulas(write_pictures(part.text))))
        if part.question is None:
            continue
        out.print(Text.assemble(("\n? ", "bold yellow"), (part.question, "bold")))
        if ask is not None:
            try:
                reply = ask("  Think first. Enter: the answer; q: leave the lesson ")
            except (EOFError, KeyboardInterrupt):
                return
            if reply.strip().lower().startswith("q"):
                return
        out.print(Lesson(write_formulas(part.answer)), "", crop=False)


def split_lesson(text: str) -> list[Part]:
    """The lesson's parts: up to each question, and the rest."""
    pieces = FOLD.split(text)
    parts = [
        Part(before, " ".join(question.split()), answer.strip())
        for before, question, answer in zip(pieces[0::3], pieces[1::3], pieces[2::3], strict=False)
    ]
    return [*parts, Part(pieces[-1])]


def write_pictures(text: str) -> str:
    """The Markdown with each picture as a quotation: where it is, what it shows, and its caption, which follows it."""

    def quote(found: re.Match[str]) -> str:
        return f"> **{found[2]}** {' '.join(found[1].split())}\\\n> "

    return PICTURE.sub(quote, text)


def write_formulas(text: str) -> str:
    """The Markdown with each formula as a figure of letters and signs."""
    return FORMULA.sub(lambda found: f"```text\n{write_formula(found[1])}\n```", text)


def write_formula(tex: str) -> str:
    r"""A formula in plain letters.

    >>> write_formula(r"c_{ij} = \sum_k a_{ik} \cdot b_{kj}")
    'cᵢⱼ = Σₖ aᵢₖ · bₖⱼ'
    """
    tex = re.sub(r"\\(?:text|mathrm|mathbf|operatorname)\{([^{}]*)\}", r"\1", tex.strip())
    tex = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", lambda found: f"{_group(found[1])} / {_group(found[2])}", tex)
    tex = re.sub(r"\\sqrt\{([^{}]*)\}", r"√(\1)", tex)
    tex = re.sub(r"\^\{?\\top\}?", "ᵀ", tex)
    tex = re.sub(r"\\[,;:! ]", " ", tex)
    tex = re.sub(r"\\([A-Za-z]+) ?", lambda found: _write_sign(found[1], found[0]), tex)
    tex = re.sub(r"_(?:\{([^{}]*)\}|(\S))", lambda found: _shift(found, LOWERED), tex)
    tex = re.sub(r"\^(?:\{([^{}]*)\}|(\S))", lambda found: _shift(found, RAISED), tex)
    return tex.replace("{", "").replace("}", "")


def _group(text: str) -> str:
    """In parentheses, unless it is a single word or number."""
    return text if re.fullmatch(r"\w+", text) else f"({text})"


def _write_sign(name: str, whole: str) -> str:
    """A sign by its name: a sum, a Greek letter, or the name itself."""
    space = " " if whole.endswith(" ") and name not in ("sum", "prod") else ""
    if name in SIGNS:
        return SIGNS[name] + space
    case = "SMALL" if name.islower() else "CAPITAL"
    try:
        return unicodedata.lookup(f"GREEK {case} LETTER {name.upper()}") + space
    except KeyError:
        return name + space


def _shift(found: re.Match[str], table: dict[int, int]) -> str:
    """What stands lower or higher, in small signs where all of it has some."""
    text = found[1] if found[1] is not None else found[2]
    if all(ord(sign) in table for sign in text):
        return text.translate(table)
    return f"{found[0][0]}{text}" if len(text) == 1 else f"{found[0][0]}({text})"


def _page(out: Console, lesson: Lesson) -> None:
    with page_through(out):
        out.print(lesson, crop=False)


@contextmanager
def page_through(out: Console) -> Iterator[None]:
    """What is printed in the block is read page by page on a terminal, and written as it is elsewhere."""
    if not out.is_terminal:
        yield
        return
    os.environ.setdefault("LESS", PAGER)
    with out.pager(styles=True):
        yield
