"""Renders lessons and troubleshooting as HTML at build time: Markdown, maths as MathML, and highlighted code."""

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

from grading.manifest.model import make_heading_slug

LinkConverter = Callable[[str], str]
"""A function that converts an address in the Markdown into an address on the site."""


@dataclass(frozen=True)
class DocumentSection:
    """A heading and the text below it, up to the next heading of the same or a higher level."""

    level: int
    title: Markup
    anchor: str
    body: Markup


@dataclass(frozen=True)
class DocumentPage:
    """A rendered document: its title, its body without the title, and its headings."""

    title: Markup
    body: Markup
    contents: tuple[DocumentSection, ...]
    """The second-level headings, without bodies."""


def render_trusted_document(text: str, link: LinkConverter = str) -> DocumentPage:
    """Render the course's own Markdown, HTML in it included, as a title, the body below it, and a list of headings."""
    parser = _build_markdown_parser()
    tokens = parser.parse(text)
    _set_anchors_and_links(tokens, link)
    title = Markup("")
    if len(tokens) > 2 and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        title, tokens = _render_markdown_tokens(tokens[1:2]), tokens[3:]
    contents = tuple(
        DocumentSection(2, _render_markdown_tokens([tokens[i + 1]]), str(token.attrs["id"]), Markup(""))
        for i, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag == "h2"
    )
    return DocumentPage(title, _render_markdown_tokens(tokens), contents)


def split_document_sections(text: str, link: LinkConverter = str) -> dict[str, DocumentSection]:
    """Render each third-level section of a Markdown document, and map its heading's anchor to it."""
    tokens = _build_markdown_parser().parse(text)
    _set_anchors_and_links(tokens, link)
    starts = [i for i, token in enumerate(tokens) if token.type == "heading_open" and int(token.tag[1]) <= 3]
    found = {}
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        if tokens[start].tag == "h3":
            anchor = str(tokens[start].attrs["id"])
            found[anchor] = DocumentSection(
                3,
                _render_markdown_tokens([tokens[start + 1]]),
                anchor,
                _render_markdown_tokens(tokens[start + 3 : end]),
            )
    return found


def render_inline_markdown(text: str) -> Markup:
    """Render a sentence from the course without a paragraph around it."""
    return Markup(_build_markdown_parser().renderInline(text))  # noqa: S704 - the course's own text


@cache
def _build_markdown_parser() -> MarkdownIt:
    """Build the Markdown parser, with tables, formulas and highlighted code."""
    parser = MarkdownIt("commonmark", {"html": True, "typographer": True, "highlight": _highlight_code})
    parser.enable(["table", "smartquotes"])
    parser.use(dollarmath_plugin, allow_digits=False, double_inline=True, renderer=_convert_latex_to_mathml)
    parser.add_render_rule("table_open", lambda *_: f"{_format_scroll_region_start('Table')}<table>\n")
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("math_block", _render_formula_block)
    parser.add_render_rule("math_inline_double", _render_formula_block)
    parser.add_render_rule("math_inline", lambda _, tokens, i, *__: _convert_latex_to_mathml(tokens[i].content, {}))
    return parser


def _render_markdown_tokens(tokens: Sequence[Token]) -> Markup:
    """Render Markdown tokens as HTML."""
    parser = _build_markdown_parser()
    return Markup(parser.renderer.render(list(tokens), parser.options, {}))  # noqa: S704 - the course's own text


def _set_anchors_and_links(tokens: Sequence[Token], link: LinkConverter) -> None:
    """Change the tokens: give headings their anchors, and convert the addresses of links and pictures."""
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrs["id"] = make_heading_slug(_get_heading_text(tokens[i + 1]))
        for child in token.children or ():
            for kind, name in (("link_open", "href"), ("image", "src")):
                if child.type == kind:
                    child.attrs[name] = link(str(child.attrs[name]))


def _get_heading_text(token: Token) -> str:
    """Return the text of a heading without Markdown."""
    return "".join(child.content for child in token.children or ())


def _convert_latex_to_mathml(content: str, options: dict[str, Any]) -> str:
    """Convert a formula from LaTeX to MathML."""
    display = "block" if options.get("display_mode") else "inline"
    return convert(content.strip(), display=display)


def _render_formula_block(_: Any, tokens: Sequence[Token], index: int, *__: Any) -> str:
    """Render a formula on its own line."""
    maths = _convert_latex_to_mathml(tokens[index].content, {"display_mode": True})
    return f"{_format_scroll_region_start('Formula')}{maths}</div>\n"


def _format_scroll_region_start(label: str) -> str:
    """Return the tag that opens a region for wide content, which scrolls by itself, even by keyboard."""
    return f'<div class="scroll {label.lower()}" role="group" aria-label="{label}" tabindex="0">'


def _highlight_code(code: str, language: str, _: str) -> str:
    """Render a fenced block with highlighted code, which can be focused and scrolled with the keyboard."""
    known = {"pycond": "pycon"}.get(language, language)
    try:
        lexer = get_lexer_by_name(known or "text")
        inner = highlight(code, lexer, HtmlFormatter(nowrap=True))
    except ClassNotFound:
        inner = html.escape(code, quote=False)
    name = re.sub(r"[^a-z]", "", language)
    return f'<pre class="code {name}" tabindex="0"><code>{inner}</code></pre>\n'
