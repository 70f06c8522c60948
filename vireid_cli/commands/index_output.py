"""Output of ``vireid index`` and ``vireid search``: lines and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from vireid_cli.reading import size_text

if TYPE_CHECKING:
    from vireid_cli.search.records import Match

LOCAL = "this machine"
"""Backend of an index in a folder, see ``Index.info``."""

_COLUMNS = ("camid", "pid", "time")


def info_lines(info: Mapping[str, Any]) -> list[str]:
    """Lines of a description, see ``Index.info``."""
    modalities = ", ".join(f"{count:,} {name}" for name, count in info["modalities"].items())
    lines = [
        f"index {info['name']}: {info['kind']} search on {info['backend']}, created {info['created']}",
        f"{info['folder']}, {size_text(info['bytes'])}",
        f"{info['records']:,} records" + (f" ({modalities})" if modalities else ""),
        f"{info['removed_vectors']:,} vectors of removed records",
        f"embeddings of {info['dimension'] or 'any number of'} values",
        "columns: " + ", ".join(f"{name} ({kind})" for name, kind in info["columns"].items()),
        f"model: {info['model'] or 'not set; give one with --model'}",
    ]
    lines += [f"  {key}: {value}" for key, value in (info["fingerprint"] or {}).items()]
    return lines + structure_lines(info)


def structure_lines(info: Mapping[str, Any]) -> list[str]:
    """Lines about the approximate structure of a described index; none for an exact one or on a server."""
    structure = info["structure"]
    if structure is None:
        return few_records_lines(info["kind"], info["records"], info["backend"])
    parameter = "efSearch" if structure["kind"] == "hnsw" else "nprobe"
    components = structure.get("components")
    return [
        f"{structure['kind']} over {structure['covered']:,} vectors: recall@10 {structure['recall']:.3f} "
        f"against exact search on a sample of them, {parameter} {structure['effort']}"
        + (f", {components} principal components" if components else "")
    ]


def few_records_lines(kind: str, records: int, backend: str = LOCAL) -> list[str]:
    """Line of an approximate index that is searched exactly, because it has few records."""
    from vireid_cli.search.approximate import BUILT_FROM

    if kind == "exact" or backend != LOCAL:
        return []
    return [
        f"{kind}: {records:,} records are searched exactly. A structure is built from {BUILT_FROM:,} records "
        "on; below some 100,000, exact search takes 2 ms or less per query and misses nothing"
    ]


def match_table(title: str, matches: Sequence[Match]) -> Table:
    """Table of one query's matches; columns without any value are left out."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    shown = [name for name in _COLUMNS if any(getattr(match.record, name) is not None for match in matches)]
    extra = list(dict.fromkeys(name for match in matches for name in match.record.extra))
    reranked = any(match.distance is not None for match in matches)
    for name in ("rank", "score", *(["distance"] if reranked else [])):
        table.add_column(name, justify="right", no_wrap=True)
    own = [column.header for column in table.columns]
    labels = [f"{name} (record)" if name in own else name for name in extra]
    for name in ("modality", *shown, *labels, "path"):
        table.add_column(name, overflow="fold")
    for match in matches:
        record = match.record
        distance = [] if not reranked else ["–" if match.distance is None else f"{match.distance:.4f}"]
        values = [*(getattr(record, name) for name in shown), *(record.extra.get(name) for name in extra)]
        table.add_row(
            str(match.rank),
            f"{match.score:.4f}",
            *distance,
            record.modality,
            *map(_cell, values),
            record.path,
        )
    return table


def json_content(index: str, queries: Iterable[Mapping[str, Any]], results: Sequence[Sequence[Match]]) -> Any:
    """JSON of a search: the index, and each query with its matches."""
    return {
        "index": index,
        "queries": [
            {**query, "matches": [match.as_json() for match in matches]}
            for query, matches in zip(queries, results, strict=True)
        ],
    }


def _cell(value: Any) -> str:
    """Format a value of a record."""
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
