"""`tito portfolio`: unlocked capabilities with their evidence, fit to copy into an application."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from grading import progress
from grading.render.text import clean, one_line, quote
from tito.console import console, item, print_json, repository


def portfolio(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown instead.")] = False,
) -> int:
    """List what you have unlocked, with the evidence: date, figures, seed, digest.

    \b
    Examples:
      tito portfolio
      tito portfolio --markdown > portfolio.md
    """
    from grading.manifest.load import load  # slow to import
    from tito.evidence import fold_figures

    root = repository()
    history = progress.read(root)
    entries = unlocked(load(root), history)
    if as_json:
        print_json(entries)
        return 0
    for entry in entries:
        best = history.best(entry["milestone"])
        entry["figures_text"] = fold_figures(best.result if best is not None else None)
    if as_markdown:
        console().file.write(markdown(entries))
    else:
        _show(entries)
    return 0


def unlocked(manifest: Any, history: progress.History) -> list[dict[str, Any]]:
    """One entry per unlocked milestone; documented in docs/result-format.md."""
    from tito.evidence import figures_json, figures_of  # slow to import

    entries = []
    for milestone in manifest.milestones:
        best = history.best(milestone.id)
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
                "figures": figures_json(result),
                "figures_text": figures_of(result),
                "writings": [_tell(writing) for writing in result.writings],
                "seed": result.seed,
                "official": result.official,
                "submission": one_line(result.submission.digest),
                "course": one_line(f"{result.course.name} {result.course.version}"),
                "reproduce": one_line(result.command),
            }
        )
    return entries


def _tell(writing: Any) -> dict[str, Any]:
    """A text that the network wrote, cleaned."""
    from grading.render.words import describe_writing  # slow to import

    what, judged = describe_writing(writing)
    texts = {"prompt": clean(writing.prompt), "written": clean(writing.written)}
    return {"kind": writing.kind, **texts, "right": writing.right, "said": f"{what}{': ' if judged else ''}{judged}."}


def markdown(entries: list[dict[str, Any]]) -> str:
    """The portfolio as Markdown."""
    from grading.render.markdown import code, escape, fence  # slow to import

    lines = ["# What I have built", ""]
    if not entries:
        lines += ["Nothing is unlocked yet.", ""]
    for entry in entries:
        lines += [f"## {escape(entry['name'])}", ""]
        lines += [f"- {escape(capability)}" for capability in entry["capabilities"]]
        lines += ["", f"Measured on {entry['unlocked_at']:%Y-%m-%d}{_provisional(entry)}:", ""]
        lines += [f"- {escape(figure)}" for figure in entry["figures_text"]]
        for writing in entry["writings"]:
            language = "python" if writing["kind"] == "function" else "text"
            lines += ["", writing["said"], "", fence(writing["prompt"] + writing["written"], language=language)]
        lines += [
            "",
            f"Evidence: {escape(entry['course'])}, seed {entry['seed']}, code {code(entry['submission'][:16])}.",
            "",
        ]
    return "\n".join(lines)


def _show(entries: list[dict[str, Any]]) -> None:
    out = console()
    if not entries:
        out.print("Nothing is unlocked yet. Where you are and what is next:")
        out.print(Text("  tito milestone status", style="bold"))
    for entry in entries:
        out.print(Text.assemble((entry["name"], "bold green"), f"  {entry['medal']}", _provisional(entry)))
        for capability in entry["capabilities"]:
            out.print(item("+", capability))
        for figure in entry["figures_text"]:
            out.print(item(" ", Text(figure, style="cyan")))
        for writing in entry["writings"]:
            out.print(item(" ", writing["said"]))
            out.print(Text(quote(writing["prompt"] + writing["written"]), style="dim"))
        when = f"{entry['unlocked_at']:%Y-%m-%d}, {entry['course']}"
        out.print(Text(f"  {when}, seed {entry['seed']}, code {entry['submission'][:16]}\n", style="dim"))


def _provisional(entry: dict[str, Any]) -> str:
    return " (provisional)" if entry["provisional"] else ""
