"""``vireid bench``: measure speed, naive matchers, and the activity of loss terms."""

from __future__ import annotations

import typer

from vireid_cli.commands.bench import calibration, data, networks, operations, retrieval, serving

app = typer.Typer(
    no_args_is_help=True,
    help="Measure speed and print it with machine, versions and commit.\n\nExample: vireid bench train",
)

app.command()(networks.train)
app.command()(networks.extract)
app.command()(operations.augment)
app.command()(retrieval.evaluate)
app.command()(retrieval.difficulty)
app.command()(retrieval.search)
app.command()(operations.spectra)
app.command()(networks.steps)
app.command()(operations.scan)
app.command()(data.prepare)
app.command()(data.sampler)
app.command()(operations.transport)
app.command()(networks.activity)
app.command()(calibration.calibration)
app.command()(data.occlude)
app.command()(serving.serve)
