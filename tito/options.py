"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Run again what a report names.", min=0, max=2**31 - 1)]
