"""`tito data …`: list the data sets, download them, and locate them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from grading.render.progress_watch import create_watch
from tito.console import format_list_item, open_console, print_json, raise_interrupted_with_message
from tito.options import JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Data sets: list them, download one, locate them.")


@app.command("list")
def show_data_sets(as_json: JsonOption = False) -> int:
    """Show each data set and whether it is on this machine.

    \b
    Examples:
      tito data list
      tito data list --json
    """
    entries, out = _list_data_set_entries(), open_console()
    if as_json:
        print_json(entries)
        return 0
    for entry in entries:
        sign, style = ("✓", "green") if entry["here"] else ("·", "cyan")
        if out.options.ascii_only:
            sign = "ok" if entry["here"] else "--"
        text = Text.assemble((entry["name"], "bold"), f": {entry['title']}\n{_describe_data_set_state(entry)}")
        out.print(format_list_item(sign, text, style=style, indent=0))
    return 0


@app.command("fetch")
def download_data_set(name: Annotated[str, typer.Argument(metavar="NAME", help="The data set, such as mnist.")]) -> int:
    """Download a data set to your cache folder and verify it. An interrupted download resumes where it stopped.

    \b
    Examples:
      tito data fetch mnist
    """
    from grading.data.fetch import fetch_data_set as fetch_into_cache  # slow to import
    from grading.data.files import locate_data_set
    from grading.data.load import find_data_source, load_images, load_text

    source, out = find_data_source(name), open_console()
    interrupted = f"Interrupted. The part downloaded so far is kept. To continue: tito data fetch {name}"
    with raise_interrupted_with_message(interrupted), create_watch(out) as watch:
        if not locate_data_set(source).own:
            fetch_into_cache(source, watch)
        watch.begin_phase(f"Reading {name}", None)
        found = load_text(name) if source.is_text else load_images(name)
    out.print(f"{name} is available: {found.size_in_words}, in\n  {locate_data_set(source).folder}", soft_wrap=True)
    return 0


@app.command("where")
def show_data_folders(as_json: JsonOption = False) -> int:
    """Show the folders that are searched for data sets, in the order of the search.

    \b
    Examples:
      tito data where
      tito data where --json
    """
    from grading.data.files import VARIABLE, find_configured_data_folder, get_cache_folder

    own = find_configured_data_folder()
    if as_json:
        print_json({VARIABLE: own, "cache": get_cache_folder()})
        return 0
    out = open_console()
    out.print(f"1. {VARIABLE}: {own or 'not set'}", soft_wrap=True)
    out.print(f"2. downloads: {get_cache_folder()}", soft_wrap=True)
    return 0


def _list_data_set_entries() -> list[dict[str, Any]]:
    """Build one entry per data set: which it is, where it is or belongs, and which files are missing (docs/data.md)."""
    from grading.data.files import VARIABLE, locate_data_set
    from grading.data.sources import SOURCES

    entries = []
    for source in SOURCES.values():
        place = locate_data_set(source)
        entries.append(
            {
                "name": source.name,
                "title": source.title,
                "here": place.is_complete,
                "from": VARIABLE if place.own else "cache",
                "folder": place.folder,
                "missing": list(place.missing),
                "download_bytes": source.size,
                "stand_in": source.stand_in,
            }
        )
    return entries


def _describe_data_set_state(entry: dict[str, Any]) -> str:
    """Describe where a data set is on this machine, or else which files are missing or how to download it."""
    if entry["here"]:
        return f"available in {entry['folder']}"
    size = f"{entry['download_bytes'] / 1e6:.0f} MB"
    if entry["from"] != "cache":
        return f"incomplete: {', '.join(entry['missing'])} missing from {entry['folder']}"
    return f"not downloaded ({size}). To get it: tito data fetch {entry['name']}"
