"""``vireid serve``: an HTTP server with a page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands.options import (
    DataDir,
    Device,
    PrecisionOption,
    RunsDir,
    expanded,
    finite,
    make_engine,
)
from vireid_cli.errors import MissingExtra, VireidError
from vireid_cli.serve.limits import MIB, ServeLimits, limit_decoder

if TYPE_CHECKING:
    from vireid_cli.serve.access import Access
    from vireid_cli.serve.server import ServedRequests
    from vireid_cli.serve.services import Services

LIMITS = ServeLimits()


Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Indexes; default: all of the data.")]
ModelName = Annotated[
    str | None,
    typer.Option(help="Run or exported file that embeds queries.", show_default="that of each index"),
]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")]
Token = Annotated[
    str | None,
    typer.Option(envvar="VIREID_TOKEN", help="Token of every request, 16 characters or more."),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Serve other machines without a token.")]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder of the images.", show_default="that of each record", callback=expanded),
]
MaxBody = Annotated[int, typer.Option(min=1, help="Largest request in MiB.")]
MaxPixels = Annotated[
    float, typer.Option(min=0.01, max=134, help="Largest image in million pixels.", callback=finite)
]
MaxImages = Annotated[int, typer.Option(min=1, help="Most images of a request.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Most requests at a time; others get 503.")]
Timeout = Annotated[float, typer.Option(min=0.1, max=86_400, help="Seconds of a request.", callback=finite)]


def serve(
    names: Names = None,
    model: ModelName = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token: Token = None,
    insecure: Insecure = False,
    images: Images = None,
    max_body: MaxBody = LIMITS.body // MIB,
    max_pixels: MaxPixels = LIMITS.pixels / 1e6,
    max_images: MaxImages = LIMITS.images,
    concurrency: Concurrency = LIMITS.concurrency,
    timeout: Timeout = LIMITS.seconds,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Serve indexes over HTTP: a page for people, and JSON for programs (/openapi.json).

    Other machines have access with --host and --token only. SIGTERM or Ctrl-C answers the requests that have
    arrived, and ends the server.

    Example: vireid serve gallery --port 8000
    """
    pixels = round(max_pixels * 1e6)
    limits = ServeLimits(
        body=max_body * MIB, pixels=pixels, images=max_images, concurrency=concurrency, seconds=timeout
    )
    limit_decoder(limits.pixels)
    try:
        from vireid_cli.serve.access import choose_access
        from vireid_cli.serve.loading import load_services
        from vireid_cli.serve.server import serve as run
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "fastapi", "serve", "The server") from error

    access = choose_access(host, token, insecure)
    session = make_engine(device, precision, data=data, runs=runs).session
    with ExitStack() as opened:
        services = load_services(names or (), session, opened, model=model, limits=limits, images=images)
        if insecure:
            session.reporter.warn("--insecure: everyone who reaches this address can search the indexes")
        _print_run(run, services, access, host, port)


def _print_run(
    run: Callable[..., ServedRequests], services: Services, access: Access, host: str, port: int
) -> None:
    """Serve until a signal, and print the address, the log and the number of requests.

    Raises:
        VireidError: Requests were not answered in time.
    """
    from vireid_cli.commands import console

    for name, count in services.sizes().items():
        console.print_line(f"index {name}: {count:,} images")

    def ready(address: str) -> None:
        """Print the address."""
        console.print_line(f"serving {address} (stop with Ctrl-C)")

    def report(text: str) -> None:
        """Print lines of the server's log."""
        for line in text.splitlines():
            console.print_note(line)

    served = run(services, access, host, port, ready=ready, log=report)
    console.print_line(f"stopped: {served.answered} requests answered")
    if not served.complete:
        raise VireidError("some requests were not answered in time.", "Raise --timeout.")
