"""``vireid visualize``: one function per figure, grouped by the figures' subjects."""

from __future__ import annotations

import typer

from vireid_cli.commands.visualize import embeddings, images, networks, occlusion, pages, results

app = typer.Typer(
    no_args_is_help=True,
    help="Draw figures of runs or images.\n\nExample: vireid visualize phase-swap",
)

app.command("phase-swap")(images.phase_swap)
app.command()(images.spectrum)
app.command()(images.seg)
app.command()(images.sheet)
app.command()(embeddings.tsne)
app.command()(embeddings.distances)
app.command()(networks.attention)
app.command()(results.ranking)
app.command()(results.cmc)
app.command()(results.curves)
app.command()(results.sweep)
app.command()(pages.report)
app.command()(occlusion.occlusion)
