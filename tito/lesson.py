"""Show a lesson on a terminal, with unwrapped drawings, formulas in plain letters, and answers after a key press."""

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
"""The options for less: quit at the end, keep colours, do not wrap long lines, leave the text on the screen."""

SIGNS = {
    "cdot": "·", "times": "×", "div": "÷", "pm": "±", "sum": "Σ", "prod": "Π", "int": "∫", "partial": "∂",
    "nabla": "∇", "infty": "∞", "to": "→", "rightarrow": "→", "leftarrow": "←", "mapsto": "↦", "approx": "≈",
    "neq": "≠", "ne": "≠", "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "in": "∈", "dots": "…", "ldots": "…",
    "cdots": "⋯", "odot": "⊙", "top": "ᵀ", "mid": "|", "quad": "  ", "qquad": "    ",
}  # fmt: skip
LOWERED = str.maketrans("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
RAISED = str.maketrans("0123456789+-=()inT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿᵀ")


@dataclass(frozen=True)
class LessonPart:
    """A part of a lesson, with the question that ends it and its answer."""

    text: str
    question: str | None = None
    answer: str = ""


class Figure(CodeBlock):
    """A block of code or a text drawing. It is never wrapped, because wrapping would destroy a drawing."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the lines at their full length."""
        code = textwrap.dedent(str(self.text).rstrip())
        text = Syntax(code, self.lexer_name, theme="ansi_dark").highlight(code)
        text.rstrip()
        text.no_wrap, text.overflow = True, "ignore"
        yield text


class LessonMarkdown(Markdown):
    """Markdown whose code blocks hold text diagrams, which must not be wrapped."""

    elements = Markdown.elements | {"fence": Figure, "code_block": Figure}


def show_lesson(
    lesson_markdown: str,
    out: Console,
    *,
    ask: Callable[[str], str] | None = None,
    page: Callable[[Console, LessonMarkdown], None] | None = None,
) -> None:
    """Show a lesson part by part. Each answer follows after Enter, or immediately if ``ask`` is None."""
    page = page or _print_lesson_in_pager
    for part in split_lesson_at_questions(lesson_markdown):
        if part.text.strip():
            page(out, LessonMarkdown(replace_formulas_with_plain_letters(replace_pictures_with_quotes(part.text))))
        if part.question is None:
            continue
        out.print(Text.assemble(("\n? ", "bold yellow"), (part.question, "bold")))
        if ask is not None:
            try:
                reply = ask("  Think first, then press Enter for the answer, or q to leave the lesson. ")
            except (EOFError, KeyboardInterrupt):
                return
            if reply.strip().lower().startswith("q"):
                return
        out.print(LessonMarkdown(replace_formulas_with_plain_letters(part.answer)), "", crop=False)


def split_lesson_at_questions(lesson_markdown: str) -> list[LessonPart]:
    """Split a lesson into parts, each of which ends with a question. The last part has none."""
    pieces = FOLD.split(lesson_markdown)
    parts = [
        LessonPart(before, " ".join(question.split()), answer.strip())
        for before, question, answer in zip(pieces[0::3], pieces[1::3], pieces[2::3], strict=False)
    ]
    return [*parts, LessonPart(pieces[-1])]


def replace_pictures_with_quotes(lesson_markdown: str) -> str:
    """Replace each captioned picture in the Markdown with a block quote of its path, alt text and caption."""

    def format_quoted_picture(found: re.Match[str]) -> str:
        """Return a quoted line with a picture's caption and alt text."""
        return f"> **{found[2]}** {' '.join(found[1].split())}\\\n> "

    return PICTURE.sub(format_quoted_picture, lesson_markdown)


def replace_formulas_with_plain_letters(lesson_markdown: str) -> str:
    """Replace each $$ formula in the Markdown with a code block that shows it in plain letters."""
    return FORMULA.sub(lambda found: f"```text\n{convert_tex_to_plain_letters(found[1])}\n```", lesson_markdown)


def convert_tex_to_plain_letters(tex: str) -> str:
    r"""Convert a TeX formula to plain letters.

    >>> convert_tex_to_plain_letters(r"c_{ij} = \sum_k a_{ik} \cdot b_{kj}")
    'cᵢⱼ = Σₖ aᵢₖ · bₖⱼ'
    """
    tex = re.sub(r"\\(?:text|mathrm|mathbf|operatorname)\{([^{}]*)\}", r"\1", tex.strip())
    tex = re.sub(
        r"\\frac\{([^{}]*)\}\{([^{}]*)\}",
        lambda found: f"{_parenthesize_unless_single_word(found[1])} / {_parenthesize_unless_single_word(found[2])}",
        tex,
    )
    tex = re.sub(r"\\sqrt\{([^{}]*)\}", r"√(\1)", tex)
    tex = re.sub(r"\^\{?\\top\}?", "ᵀ", tex)
    tex = re.sub(r"\\[,;:! ]", " ", tex)
    tex = re.sub(r"\\([A-Za-z]+) ?", lambda found: _convert_tex_command_to_symbol(found[1], found[0]), tex)
    tex = re.sub(r"_(?:\{([^{}]*)\}|(\S))", lambda found: _convert_sub_or_superscript(found, LOWERED), tex)
    tex = re.sub(r"\^(?:\{([^{}]*)\}|(\S))", lambda found: _convert_sub_or_superscript(found, RAISED), tex)
    return tex.replace("{", "").replace("}", "")


def _parenthesize_unless_single_word(text: str) -> str:
    """Put parentheses around a term unless it is a single word or number."""
    return text if re.fullmatch(r"\w+", text) else f"({text})"


def _convert_tex_command_to_symbol(name: str, command: str) -> str:
    """Convert a TeX command to its symbol, such as a sum or a Greek letter, or else to its name."""
    space = " " if command.endswith(" ") and name not in ("sum", "prod") else ""
    if name in SIGNS:
        return SIGNS[name] + space
    case = "SMALL" if name.islower() else "CAPITAL"
    try:
        return unicodedata.lookup(f"GREEK {case} LETTER {name.upper()}") + space
    except KeyError:
        return name + space


def _convert_sub_or_superscript(found: re.Match[str], table: dict[int, int]) -> str:
    """Convert a subscript or superscript to small Unicode characters; keep its _ or ^ if one does not exist."""
    text = found[1] if found[1] is not None else found[2]
    if all(ord(sign) in table for sign in text):
        return text.translate(table)
    return f"{found[0][0]}{text}" if len(text) == 1 else f"{found[0][0]}({text})"


def _print_lesson_in_pager(out: Console, lesson: LessonMarkdown) -> None:
    """Print a lesson through the pager."""
    with send_output_through_pager(out):
        out.print(lesson, crop=False)


@contextmanager
def send_output_through_pager(out: Console) -> Iterator[None]:
    """Send what the block prints through a pager if the output is a terminal, and write it unchanged otherwise."""
    if not out.is_terminal:
        yield
        return
    os.environ.setdefault("LESS", PAGER)
    with out.pager(styles=True):
        yield
