"""`tito data …`: which data sets there are, whether they are here, and getting them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from grading.render.progress import watch_for
from tito.console import console, item, print_json, say_if_interrupted
from tito.options import Json

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Data sets: which there are, get one, where they lie."
)


@app.command("list")
def list_(as_json: Json = False) -> int:
    """Show each data set, and whether it is on this machine.

    \b
    Examples:
      tito data list
      tito data list --json
    """
    entries, out = _entries(), console()
    if as_json:
        print_json(entries)
        return 0
    for entry in entries:
        sign, style = ("✓", "green") if entry["here"] else ("·", "cyan")
        if out.options.ascii_only:
            sign = "ok" if entry["here"] else "--"
        text = Text.assemble((entry["name"], "bold"), f": {entry['title']}\n{_state(entry)}")
        out.print(item(sign, text, style=style, indent=0))
    return 0


@app.command()
def fetch(name: Annotated[str, typer.Argument(metavar="NAME", help="Which, such as mnist.")]) -> int:
    """Download a data set into your cache folder, verified; goes on where it was interrupted.

    \b
    Examples:
      tito data fetch mnist
    """
    from grading.data.fetch import fetch as fetch_into_cache  # slow to import
    from grading.data.files import find
    from grading.data.load import load, load_text, source_named

    source, out = source_named(name), console()
    interrupted = f"Interrupted: what was downloaded so far is kept. Go on: tito data fetch {name}"
    with say_if_interrupted(interrupted), watch_for(out) as watch:
        if not find(source).own:
            fetch_into_cache(source, watch)
        watch.phase(f"Reading {name}", None)
        found = load_text(name) if source.is_text else load(name)
    out.print(f"{name} is here: {found.summary}, in\n  {find(source).folder}", soft_wrap=True)
    return 0


@app.command()
def where(as_json: Json = False) -> int:
    """Show the folders in which data sets are looked for, in order.

    \b
    Examples:
      tito data where
      tito data where --json
    """
    from grading.data.files import VARIABLE, cache, own_folder

    own = own_folder()
    if as_json:
        print_json({VARIABLE: own, "cache": cache()})
        return 0
    out = console()
    out.print(f"1. {VARIABLE}: {own or 'not set'}", soft_wrap=True)
    out.print(f"2. downloads: {cache()}", soft_wrap=True)
    return 0


def _entries() -> list[dict[str, Any]]:
    """One entry per data set; documented in docs/data.md."""
    from grading.data.files import VARIABLE, find
    from grading.data.sources import SOURCES

    entries = []
    for source in SOURCES.values():
        place = find(source)
        entries.append(
            {
                "name": source.name,
                "title": source.title,
                "here": place.complete,
                "from": VARIABLE if place.own else "cache",
                "folder": place.folder,
                "missing": list(place.missing),
                "download_bytes": source.size,
                "stand_in": source.stand_in,
            }
        )
    return entries


def _state(entry: dict[str, Any]) -> str:
    if entry["here"]:
        return f"here, in {entry['folder']}"
    size = f"{entry['download_bytes'] / 1e6:.0f} MB"
    if entry["from"] != "cache":
        return f"not all here: {entry['folder']} lacks {', '.join(entry['missing'])}"
    return f"not here; get it ({size}): tito data fetch {entry['name']}"
