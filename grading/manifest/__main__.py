"""The command `python -m grading.manifest`, which checks milestones.yaml and writes its schema."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from grading.entry import run_and_get_exit_code
from grading.files import write_atomically
from grading.manifest.file_checks import find_missing_file_problems
from grading.manifest.loader import load_manifest_strictly
from grading.manifest.problems import ManifestError
from grading.manifest.question_checks import find_question_problems
from grading.manifest.schema import SCHEMA_PATH, generate_schema_json

ROOT = Path(__file__).resolve().parents[2]
Root = Annotated[Path, typer.Option(help="The repository's folder.", file_okay=False, exists=True)]

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("check")
def check_manifest(root: Root = ROOT) -> None:
    """Report each problem in milestones.yaml with its line and a way to fix it.

    Exit with 0 if there are none, otherwise with 2.
    """
    try:
        manifest = load_manifest_strictly(root)
        if problems := find_missing_file_problems(manifest, root) + find_question_problems(manifest, root):
            raise ManifestError(problems)
    except ManifestError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    built = sum(module.status == "built" for module in manifest.modules)
    typer.echo(f"milestones.yaml is valid: {built} of {len(manifest.modules)} modules built.")


@app.command("schema")
def write_schema(
    root: Root = ROOT,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 2 if the file is stale.")] = False,
) -> None:
    """Write docs/schema/manifest.schema.json from the model."""
    path, text = root / SCHEMA_PATH, generate_schema_json()
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        typer.echo(
            f"{SCHEMA_PATH.as_posix()} does not match the model. Run `python -m grading.manifest schema`.", err=True
        )
        raise typer.Exit(2)


if __name__ == "__main__":
    sys.exit(run_and_get_exit_code(lambda: app(standalone_mode=False)))
