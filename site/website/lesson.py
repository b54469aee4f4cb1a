"""Lessons and troubleshooting as HTML: Markdown with maths as MathML and highlighted code, all made at build time."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from grading.manifest.model import slug

Link = Callable[[str], str]
"""Turns an address in the Markdown into an address of the site."""


@dataclass(frozen=True)
class Section:
    """A heading and the text below it, up to the next heading of the same or a higher level."""

    level: int
    title: Markup
    anchor: str
    body: Markup


@dataclass(frozen=True)
class Page:
    """A rendered document: its title, its body without the title, and its headings."""

    title: Markup
    body: Markup
    contents: tuple[Section, ...]
    """The second-level headings, without bodies."""


def render(text: str, link: Link = str) -> Page:
    """Render a whole document. Its text is the course's own, so HTML in it stays HTML."""
    parser = _parser()
    tokens = parser.parse(text)
    _mend(tokens, link)
    title = Markup("")
    if len(tokens) > 2 and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        title, tokens = _html(tokens[1:2]), tokens[3:]
    contents = tuple(
        Section(2, _html([tokens[i + 1]]), str(token.attrs["id"]), Markup(""))
        for i, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag == "h2"
    )
    return Page(title, _html(tokens), contents)


def sections(text: str, link: Link = str) -> dict[str, Section]:
    """Split a document into its third-level sections, by anchor."""
    tokens = _parser().parse(text)
    _mend(tokens, link)
    starts = [i for i, token in enumerate(tokens) if token.type == "heading_open" and int(token.tag[1]) <= 3]
    found = {}
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        if tokens[start].tag == "h3":
            anchor = str(tokens[start].attrs["id"])
            found[anchor] = Section(3, _html([tokens[start + 1]]), anchor, _html(tokens[start + 3 : end]))
    return found


def inline(text: str) -> Markup:
    """Render a sentence of the course without a paragraph around it."""
    return Markup(_parser().renderInline(text))  # noqa: S704 - the course's own text


@cache
def _parser() -> MarkdownIt:
    """Build the parser of Markdown, with tables, formulas and highlighted code."""
    parser = MarkdownIt("commonmark", {"html": True, "typographer": True, "highlight": _highlight})
    parser.enable(["table", "smartquotes"])
    parser.use(dollarmath_plugin, allow_digits=False, double_inline=True, renderer=_maths)
    parser.add_render_rule("table_open", lambda *_: f"{_scroll('Table')}<table>\n")
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("math_block", _math_block)
    parser.add_render_rule("math_inline_double", _math_block)
    parser.add_render_rule("math_inline", lambda _, tokens, i, *__: _maths(tokens[i].content, {}))
    return parser


def _html(tokens: Sequence[Token]) -> Markup:
    """Render tokens of Markdown as HTML."""
    parser = _parser()
    return Markup(parser.renderer.render(list(tokens), parser.options, {}))  # noqa: S704 - the course's own text


def _mend(tokens: Sequence[Token], link: Link) -> None:
    """Give headings their anchors, and links and pictures their addresses."""
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrs["id"] = slug(_plain(tokens[i + 1]))
        for child in token.children or ():
            for kind, name in (("link_open", "href"), ("image", "src")):
                if child.type == kind:
                    child.attrs[name] = link(str(child.attrs[name]))


def _plain(token: Token) -> str:
    """Return the text of a heading without Markdown."""
    return "".join(child.content for child in token.children or ())


def _maths(content: str, options: dict[str, Any]) -> str:
    """Convert a formula from LaTeX to MathML."""
    display = "block" if options.get("display_mode") else "inline"
    return convert(content.strip(), display=display)


def _math_block(_: Any, tokens: Sequence[Token], index: int, *__: Any) -> str:
    """Render a formula on a line of its own."""
    maths = _maths(tokens[index].content, {"display_mode": True})
    return f"{_scroll('Formula')}{maths}</div>\n"


def _scroll(label: str) -> str:
    """Open a region that scrolls by itself, also by keyboard, for content that may be too wide for a phone."""
    return f'<div class="scroll {label.lower()}" role="group" aria-label="{label}" tabindex="0">'


def _highlight(code: str, language: str, _: str) -> str:
    """Render a fenced block with highlighted code; the keyboard can reach it to scroll."""
    known = {"pycond": "pycon"}.get(language, language)
    try:
        lexer = get_lexer_by_name(known or "text")
        inner = highlight(code, lexer, HtmlFormatter(nowrap=True))
    except ClassNotFound:
        inner = html.escape(code, quote=False)
    name = re.sub(r"[^a-z]", "", language)
    return f'<pre class="code {name}" tabindex="0"><code>{inner}</code></pre>\n'
