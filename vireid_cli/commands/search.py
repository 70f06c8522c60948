"""``vireid search``: the best matches of queries in an index."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands.options import (
    DataDir,
    Device,
    RunsDir,
    expanded,
    expanded_all,
    make_engine,
    refuse_without_effect,
)
from vireid_cli.modality import Modality

if TYPE_CHECKING:
    from vireid_cli.search.queries import Queries
    from vireid_cli.search.records import Match


class RerankOption(StrEnum):
    """Re-ranking of the matches of a query."""

    K_RECIPROCAL = "k-reciprocal"


class GroupOption(StrEnum):
    """Column of which each value is listed once."""

    PID = "pid"
    PATH = "path"


Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the index, or its folder (with a slash).")]
QueryFiles = Annotated[
    list[Path],
    typer.Argument(metavar="QUERY...", help="Images, or files of embeddings.", callback=expanded_all),
]
Top = Annotated[int, typer.Option(min=1, max=10_000, help="Number of matches per query.")]
Where = Annotated[
    str | None, typer.Option(help="Filter, such as \"camid in (3, 6) and time > '2026-11-01'\".")
]
GalleryModality = Annotated[Modality | None, typer.Option(help="Modality of the matches.")]
ExcludeSameCamera = Annotated[
    bool, typer.Option("--exclude-same-camera", help="Skip matches of the query's camera.")
]
Rerank = Annotated[RerankOption | None, typer.Option(help="Re-rank the 1,000 best matches of each query.")]
GroupBy = Annotated[GroupOption | None, typer.Option(help="Best match per person or image only.")]
ModelName = Annotated[
    str | None,
    typer.Option(help="Run or exported file that embeds images.", show_default="that of the index"),
]
QueryModality = Annotated[
    Modality | None,
    typer.Option(
        help="Modality of query images.", show_default="infrared if their colour channels are equal"
    ),
]
Camera = Annotated[
    int | None, typer.Option(min=0, help="Camera of query images.", show_default="from their names")
]
Tables = Annotated[int, typer.Option(min=1, help="Number of queries whose matches are printed as a table.")]
Sheet = Annotated[Path | None, typer.Option(help="Write the ranking sheet, an HTML file.", callback=expanded)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def search(
    context: typer.Context,
    name: Name,
    query: QueryFiles,
    top: Top = 20,
    where: Where = None,
    modality: GalleryModality = None,
    exclude_same_camera: ExcludeSameCamera = False,
    rerank: Rerank = None,
    group_by: GroupBy = None,
    model: ModelName = None,
    query_modality: QueryModality = None,
    camera: Camera = None,
    tables: Tables = 10,
    html: Sheet = None,
    json: Json = False,
    device: Device = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Search an index with images, or with the embeddings of queries.

    Scores are cosine similarities. A filter compares columns with numbers or 'text' (= != < <= > >=), or by
    in (…) and is null; combine with and, or, not and parentheses. Columns: vireid index info NAME.

    Example: vireid search gallery queries.npz --where "camid in (3, 6)" --exclude-same-camera
    """
    from vireid_cli.commands import console
    from vireid_cli.commands.index_output import json_content
    from vireid_cli.engine.query import QuerySettings, read_queries
    from vireid_cli.files import data_folder
    from vireid_cli.search.open import open_index

    _check_idle(context, query, json, html is not None)
    settings = QuerySettings(model, query_modality, camera)
    with open_index(name, data_folder(data)) as index:
        engine = partial(make_engine, device, data=data, runs=runs)
        queries = read_queries(query, index, lambda: engine().session, settings)
        results = index.search(
            queries.features,
            top=top,
            where=where,
            modality=modality,
            query_cameras=queries.known_cameras() if exclude_same_camera else None,
            rerank=rerank is not None,
            group_by=group_by,
            progress=console.ConsoleReporter().progress("re-ranking"),
        )
        records = index.count()
    if html is not None:
        subtitle = f"where {where}" if where else f"{records:,} records"
        _write_sheet(html, f"Matches in {index.name}", subtitle, queries, results)
    if json:
        console.print_json(json_content(index.name, queries.as_json(), results))
    elif html is not None:
        console.print_paths([html])
    elif any(results):
        _print_tables(queries.names, results, tables)
    else:
        _print_nothing(name, records, data)


def _check_idle(context: typer.Context, queries: Sequence[Path], json: bool, html: bool) -> None:
    """Refuse options of images if no query is one, and of tables if none is printed.

    Raises:
        UsageError: The command line has such an option.
    """
    from vireid_cli.embedding_files import ENDINGS

    if all(path.suffix.lower() in ENDINGS for path in queries):
        idle = ("model", "query_modality", "camera")
        refuse_without_effect(context, "The queries are files of embeddings, none is an image", *idle)
    if json or html:
        refuse_without_effect(context, f"{'--json' if json else '--html'} prints no tables", "tables")


def _write_sheet(
    path: Path, title: str, subtitle: str, queries: Queries, results: Sequence[Sequence[Match]]
) -> None:
    """Write the ranking sheet."""
    from vireid_cli.engine.ranking_sheet import write_sheet

    write_sheet(path, title, subtitle, queries, results)


def _print_tables(names: Sequence[str], results: Sequence[Sequence[Match]], tables: int) -> None:
    """Print the matches of the first queries, and the number of the other ones."""
    from vireid_cli.commands import console
    from vireid_cli.commands.index_output import match_table

    for label, matches in zip(names[:tables], results[:tables], strict=True):
        console.print_table(match_table(label, matches))
    if len(results) > tables:
        console.print_line(
            f"{len(results) - tables:,} of {len(results):,} queries are not printed; "
            f"all: --tables {len(results)}, --json or --html FILE"
        )


def _print_nothing(name: str, records: int, data: Path | None) -> None:
    """Print that no record matches, and the next command for an empty index."""
    from vireid_cli.commands import console

    console.print_line(f"index {name} has {records:,} records; none of them matches")
    if not records:
        console.print_next(console.command_line("index", "add", name, "FILE", data=data))
