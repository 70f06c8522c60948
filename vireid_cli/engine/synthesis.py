"""Rendering the embedded benchmark on the engine's device."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.rendered.tree import RenderedTree, RenderOptions, write_tree


def render(
    options: RenderOptions, root: Path, runtime: Runtime, reporter: Reporter, workers: int | None
) -> RenderedTree:
    """Write the rendered tree; an interrupted one is continued.

    Raises:
        UsageError: The folder holds a benchmark of other parameters.
        DataError: It can't be written.
    """
    return write_tree(
        root, options, device=str(runtime.device), workers=workers, progress=reporter.progress("rendering")
    )
