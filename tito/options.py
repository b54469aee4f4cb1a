"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", help="The seed shown in a report, to reproduce its inputs.", min=0, max=2**31 - 1),
]
