"""`tito portfolio`: list the unlocked capabilities with their evidence, ready to paste into an application."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from grading import progress
from grading.render.text import clean_text, quote_text, to_one_line
from tito.console import format_list_item, open_console, print_json, require_repository


def show_portfolio(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown instead.")] = False,
) -> int:
    """List your unlocked milestones with their evidence: date, figures, seed and digest.

    \b
    Examples:
      tito portfolio
      tito portfolio --markdown > portfolio.md
    """
    from grading.manifest.loader import load_manifest  # slow to import
    from tito.evidence import format_performance_figures_compactly

    root = require_repository()
    history = progress.read_history(root)
    entries = list_portfolio_entries(load_manifest(root), history)
    if as_json:
        print_json(entries)
        return 0
    for entry in entries:
        best = history.find_best_attempt(entry["milestone"])
        entry["figures_text"] = format_performance_figures_compactly(best.result if best is not None else None)
    if as_markdown:
        open_console().file.write(format_portfolio_markdown(entries))
    else:
        _print_portfolio(entries)
    return 0


def list_portfolio_entries(manifest: Any, history: progress.History) -> list[dict[str, Any]]:
    """Build one entry per unlocked milestone, as documented in docs/result-format.md."""
    from tito.evidence import collect_performance_figures, format_performance_figures  # slow to import

    entries = []
    for milestone in manifest.milestones:
        best = history.find_best_attempt(milestone.id)
        result = best.result if best else None
        if result is None or result.verdict not in progress.PASSING:
            continue
        entries.append(
            {
                "milestone": milestone.id,
                "name": milestone.name,
                "medal": milestone.medal,
                "provisional": result.verdict == "provisional",
                "unlocked_at": result.started_at,
                "capabilities": list(milestone.capabilities),
                "figures": collect_performance_figures(result),
                "figures_text": format_performance_figures(result),
                "writings": [_collect_writing_for_json(writing) for writing in result.writings],
                "seed": result.seed,
                "official": result.official,
                "submission": to_one_line(result.submission.digest),
                "course": to_one_line(f"{result.course.name} {result.course.version}"),
                "reproduce": to_one_line(result.command),
            }
        )
    return entries


def _collect_writing_for_json(writing: Any) -> dict[str, Any]:
    """Collect a text that the network wrote, without control characters, and the verdict on it."""
    from grading.render.words import describe_writing  # slow to import

    what, judged = describe_writing(writing)
    texts = {"prompt": clean_text(writing.prompt), "written": clean_text(writing.written)}
    return {"kind": writing.kind, **texts, "right": writing.right, "said": f"{what}{': ' if judged else ''}{judged}."}


def format_portfolio_markdown(entries: list[dict[str, Any]]) -> str:
    """Format the portfolio as Markdown."""
    from grading.render.markdown import escape_markdown, format_code_block, format_code_span  # slow to import

    lines = ["# What I have built", ""]
    if not entries:
        lines += ["Nothing is unlocked yet.", ""]
    for entry in entries:
        lines += [f"## {escape_markdown(entry['name'])}", ""]
        lines += [f"- {escape_markdown(capability)}" for capability in entry["capabilities"]]
        lines += ["", f"Measured on {entry['unlocked_at']:%Y-%m-%d}{_format_provisional_mark(entry)}:", ""]
        lines += [f"- {escape_markdown(figure)}" for figure in entry["figures_text"]]
        for writing in entry["writings"]:
            language = "python" if writing["kind"] == "function" else "text"
            lines += [
                "",
                writing["said"],
                "",
                format_code_block(writing["prompt"] + writing["written"], language=language),
            ]
        code = format_code_span(entry["submission"][:16])
        lines += [
            "",
            f"Evidence: {escape_markdown(entry['course'])}, seed {entry['seed']}, code {code}.",
            "",
        ]
    return "\n".join(lines)


def _print_portfolio(entries: list[dict[str, Any]]) -> None:
    """Print the portfolio to the terminal."""
    out = open_console()
    if not entries:
        out.print("Nothing is unlocked yet. To see what comes next:")
        out.print(Text("  tito milestone status", style="bold"))
    for entry in entries:
        out.print(Text.assemble((entry["name"], "bold green"), f"  {entry['medal']}", _format_provisional_mark(entry)))
        for capability in entry["capabilities"]:
            out.print(format_list_item("+", capability))
        for figure in entry["figures_text"]:
            out.print(format_list_item(" ", Text(figure, style="cyan")))
        for writing in entry["writings"]:
            out.print(format_list_item(" ", writing["said"]))
            out.print(Text(quote_text(writing["prompt"] + writing["written"]), style="dim"))
        when = f"{entry['unlocked_at']:%Y-%m-%d}, {entry['course']}"
        out.print(Text(f"  {when}, seed {entry['seed']}, code {entry['submission'][:16]}\n", style="dim"))


def _format_provisional_mark(entry: dict[str, Any]) -> str:
    """Return " (provisional)" for a provisional entry, otherwise ""."""
    return " (provisional)" if entry["provisional"] else ""
