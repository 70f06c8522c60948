"""Benchmark of the server."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.commands.bench.options import Json
from vireid_cli.commands.bench.output import print_benchmark
from vireid_cli.commands.options import Device, finite, make_engine, refuse_without_effect


def serve(
    context: typer.Context,
    clients: Annotated[int, typer.Option(min=1, max=1000, help="Number of concurrent clients.")] = 64,
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="Duration.", callback=finite)] = 60.0,
    rows: Annotated[int, typer.Option(min=1, help="Records of the index of random vectors.")] = 20_000,
    url: Annotated[str | None, typer.Option(help="A running server, such as http://127.0.0.1:8000.")] = None,
    token: Annotated[str | None, typer.Option(envvar="VIREID_TOKEN", help="Token of that server.")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Measure the server: latency of concurrent searches with images, errors, and lost requests.

    Without --url: a server of its own with the network of quickstart.yaml and an index of random vectors.

    Example: vireid bench serve --clients 64 --seconds 60
    """
    if url is not None:
        refuse_without_effect(context, "--url has an index of its own", "rows", "device")
    else:
        refuse_without_effect(context, "Without --url the server is one of its own, without a token", "token")
    session = make_engine(device).session
    options = {"clients": clients, "seconds": seconds, "rows": rows, "url": url, "token": token}
    print_benchmark("serve", session, json, **options)
