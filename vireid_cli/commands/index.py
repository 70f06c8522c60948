"""``vireid index``: create an index of embeddings, add to it, and maintain it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands.index_files import add_files, model_place, progress_of, read_files
from vireid_cli.commands.options import DataDir, expanded, expanded_all
from vireid_cli.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from vireid_cli.search.open import AnyIndex

app = typer.Typer(
    no_args_is_help=True,
    help="Create and maintain an index of embeddings.\n\nExample: vireid index create gallery gallery.npz",
)


class KindOption(StrEnum):
    """Kind of search of an index."""

    EXACT = "exact"
    HNSW = "hnsw"
    IVF_PQ = "ivf-pq"


class Backend(StrEnum):
    """Place of an index."""

    LOCAL = "local"
    QDRANT = "qdrant"


Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the index, or its folder (with a slash).")]
Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Embeddings: .npz or .parquet.", callback=expanded_all),
]
SomeFiles = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FILE...", help="Embeddings to add.", callback=expanded_all),
]
ModelPath = Annotated[
    Path | None,
    typer.Option("--model", help="Run or file that embeds queries; remembered.", callback=expanded),
]
Where = Annotated[str, typer.Option(help='Filter of records, such as "camid in (3, 6)".')]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def root() -> None:
    """Create and maintain an index of embeddings.

    Example: vireid index create gallery gallery.npz
    """


@app.command()
def create(
    name: Name,
    embeddings: SomeFiles = None,
    kind: Annotated[
        KindOption,
        typer.Option(help="Kind of search; hnsw and ivf-pq are approximate, for millions of records."),
    ] = KindOption.EXACT,
    model: ModelPath = None,
    backend: Annotated[Backend, typer.Option(help="Place of the index.")] = Backend.LOCAL,
    url: Annotated[str | None, typer.Option(help="Qdrant server, such as http://localhost:6333.")] = None,
    data: DataDir = None,
) -> None:
    """Create an index, and add the embeddings of files.

    --backend qdrant stores the records on a Qdrant server; its API key is read from VIREID_QDRANT_API_KEY.

    Example: vireid index create gallery gallery.npz
    """
    from vireid_cli.commands.console import command_line, print_line, print_next
    from vireid_cli.files import data_folder
    from vireid_cli.search.open import index_folder

    place = model_place(model)
    contents = read_files(embeddings or [])
    folder = index_folder(name, data_folder(data))
    with _create(folder, kind.value, place, backend, url) as index:
        print_line(f"created {folder}")
        try:
            add_files(index, contents, model=None, replace=False)
        except KeyboardInterrupt as error:
            words = command_line("index", "add", name, *(embeddings or []), data=data)
            raise Interrupted("stopped; completed parts are kept.", f"Continue: {words}") from error
    if contents:
        print_next(command_line("search", name, "QUERY", data=data))
    else:
        print_next(command_line("index", "add", name, "FILE", data=data))


@app.command()
def add(
    name: Name,
    embeddings: Files,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace records of the same image; default: skip them.")
    ] = False,
    model: ModelPath = None,
    data: DataDir = None,
) -> None:
    """Add the embeddings of files to an index. Other processes can search it meanwhile.

    Finished parts survive a kill; the same command continues. Images are recognised by their path, folder and
    modality. Embeddings of another model are refused.

    Example: vireid index add gallery new.npz
    """
    from vireid_cli.commands.console import command_line, print_next

    place = model_place(model)
    contents = read_files(embeddings)
    with _open(name, data) as index:
        add_files(index, contents, model=place, replace=replace)
    print_next(command_line("search", name, "QUERY", data=data))


@app.command()
def remove(name: Name, where: Where, data: DataDir = None) -> None:
    """Remove the records that a filter selects.

    Example: vireid index remove gallery --where "camid = 3 and time < '2026-11-01'"
    """
    from vireid_cli.commands.console import command_line, print_line, print_next

    with _open(name, data) as index:
        removed = index.remove(where)
        print_line(f"removed {removed:,} of index {name}; {index.count():,} remain")
    if removed:
        print_next(command_line("index", "compact", name, data=data))


@app.command()
def info(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of the index; default: list all.")
    ] = None,
    json: Json = False,
    data: DataDir = None,
) -> None:
    """Print records, columns, model and size of an index, or the names of all indexes.

    Example: vireid index info gallery
    """
    from vireid_cli.commands import console
    from vireid_cli.commands.index_output import info_lines
    from vireid_cli.files import data_folder
    from vireid_cli.search.open import list_indexes

    if name is None:
        names = list_indexes(data_folder(data))
        if json:
            console.print_json(names)
        else:
            console.print_lines(names)
        return
    with _open(name, data) as index:
        described = index.info()
    if json:
        console.print_json(described)
    else:
        console.print_lines(info_lines(described))


@app.command()
def verify(name: Name, data: DataDir = None) -> None:
    """Compare every record and vector of an index with its hash; exit code 1 if one differs.

    Example: vireid index verify gallery
    """
    from vireid_cli.commands import console

    with _open(name, data) as index:
        damage = index.verify(progress_of("verifying"))
        console.print_differences(damage)
        console.print_line(f"index {name} is undamaged: {index.count():,} records")


@app.command()
def compact(
    name: Name,
    kind: Annotated[
        KindOption | None, typer.Option(help="New kind of search.", show_default="as before")
    ] = None,
    data: DataDir = None,
) -> None:
    """Drop the vectors of removed records, and build the structure of an approximate search again.

    Example: vireid index compact gallery
    """
    from vireid_cli.commands.console import print_line, print_lines
    from vireid_cli.commands.index_output import structure_lines

    with _open(name, data) as index:
        dropped = index.compact(
            progress_of("compacting"),
            kind=kind.value if kind else None,
            build_progress=progress_of("building the structure"),
        )
        print_line(f"dropped {dropped:,} vectors of index {name}; {index.count():,} remain")
        print_lines(structure_lines(index.info()))


def _create(folder: Path, kind: str, model: str | None, backend: Backend, url: str | None) -> AnyIndex:
    """Create an index on this machine or on a server."""
    from vireid_cli.search.index import Index
    from vireid_cli.search.qdrant_index import QdrantIndex

    if (url is None) == (backend is Backend.QDRANT):
        raise UsageError("--backend qdrant and --url belong together: use both or none.")
    if url is not None:
        return QdrantIndex.create(folder, url, kind=kind, model=model)
    return Index.create(folder, kind=kind, model=model)  # type: ignore[arg-type]


def _open(name: str, data: Path | None) -> AnyIndex:
    """Open an index by name."""
    from vireid_cli.files import data_folder
    from vireid_cli.search.open import open_index

    return open_index(name, data_folder(data))
