"""Options shared by the benchmarks."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Repeats = Annotated[int, typer.Option(min=1, max=100, help="Interleaved repetitions; results are medians.")]
