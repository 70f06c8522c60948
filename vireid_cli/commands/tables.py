"""Tables of evaluation results: metrics, their uncertainty, and breakdowns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from vireid_cli.results.formatting import bounds, column_name, evaluation_title, percent
from vireid_cli.results.schema import Against, Breakdown, EvaluationFile, Metric

_LABEL = 10
"""Minimum width of the first column: ``difference`` fits."""

_LONGEST_LABEL = 24
"""Maximum width of the first column; longer labels are folded."""

SHOWN = 10
"""Number of identities and queries in the printed breakdown; the file has more."""


def evaluation_table(content: EvaluationFile, names: list[str] | None = None) -> Table:
    """Table of one evaluation in percent: run, variants, chance, and comparable values of the paper.

    Args:
        content: Content of ``metrics.json``.
        names: Metrics of the columns; None: all.
    """
    metrics = content["metrics"]
    names = list(metrics) if names is None else names
    table = Table(
        title=evaluation_title(content),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("%", overflow="fold", min_width=_LABEL, max_width=_LONGEST_LABEL)
    for name in names:
        table.add_column(column_name(name), justify="right", no_wrap=True)
    _add(table, "mean", metrics, names)
    for variant in content.get("variants", []):
        _add(table, variant["name"], variant["metrics"], names)
    if against := content.get("against"):
        _add_against(table, against, names)
    chance = content["chance"]
    table.add_row("chance", *(percent(chance.get(name)) for name in names))
    for row in content["reported"]:
        table.add_row(
            f"paper {row.get('source', '')}".strip(),
            *(f"{row[name]:.2f}" if name in row else "–" for name in names),
        )
    return table


def _add(table: Table, label: str, metrics: Mapping[str, Metric], names: list[str]) -> None:
    """Add rows with the mean, the standard deviation over trials and the interval."""
    table.add_row(label, *(percent(metrics[name]["mean"]) for name in names))
    if any(metrics[name]["std"] is not None for name in names):
        table.add_row("  ± sd", *(percent(metrics[name]["std"]) for name in names), style="dim")
    if any(metrics[name].get("interval") for name in names):
        table.add_row("  95 %", *(bounds(metrics[name].get("interval")) for name in names), style="dim")


def _add_against(table: Table, against: Against, names: list[str]) -> None:
    """Add rows with the other run's mean, the difference, its interval and its p-value."""
    differences = against["differences"]
    table.add_row(
        f"against {against['name']}",
        *(percent(against["metrics"][name]["mean"]) if name in differences else "–" for name in names),
    )
    columns = [differences.get(name) for name in names]
    table.add_row("  difference", *("–" if d is None else f"{100 * d['mean']:+.2f}" for d in columns))
    table.add_row("  95 %", *("–" if d is None else bounds(d["interval"]) for d in columns))
    table.add_row("  p", *("–" if d is None else f"{d['p_value']:.4f}" for d in columns))


def breakdown_tables(breakdown: Breakdown) -> list[Table]:
    """Tables of the camera pairs, the hardest identities and the worst queries."""
    pairs = Table(
        title="by camera pair (query → gallery); a query counts once per trial",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    people = Table(title=f"the {SHOWN} hardest identities", title_justify="left", box=box.SIMPLE_HEAD)
    for table, first in ((pairs, "cameras"), (people, "pid")):
        table.add_column(first)
        for name in ("queries", "Rank-1", "mAP", "mINP"):
            table.add_column(name, justify="right")
    for row in breakdown["camera_pairs"]:
        pairs.add_row(f"{row['query_camera']} → {row['gallery_camera']}", *_group(row))
    for person in breakdown["identities"][:SHOWN]:
        people.add_row(str(person["pid"]), *_group(person))
    worst = Table(title=f"the {SHOWN} worst queries of trial 0", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("query", "pid", "AP %", "rank of first match", "ranked first", "pid "):
        worst.add_column(name, overflow="fold")
    for query in breakdown["worst_queries"][:SHOWN]:
        worst.add_row(
            query["path"],
            str(query["pid"]),
            percent(query["average_precision"]),
            str(query["first_rank"]),
            query["best_match"],
            str(query["best_match_pid"]),
        )
    return [pairs, people, worst]


def _group(row: Mapping[str, Any]) -> list[str]:
    return [str(row["queries"]), *(percent(row[name]) for name in ("rank1", "mAP", "mINP"))]


def provenance(mark: Mapping[str, Any], intervals: bool = True) -> list[str]:
    """Four short lines about a result: protocol, data, model and scores.

    Args:
        mark: Fingerprint of the evaluation.
        intervals: Whether the result has bootstrap intervals.
    """
    epoch = str(mark.get("checkpoint", "")).partition(",")[0]
    number = mark.get("shots")
    shots = "single-shot" if number == 1 else "multi-shot" if number == 10 else ""
    draw = "" if mark.get("gallery_draw", "none") == "none" else f"{mark['gallery_draw']} gallery"
    trained = f"trained on {mark['trained_on']}" if mark.get("trained_on") else ""
    rendered = f"rendered {str(mark['rendered']).rpartition(', ')[0]}" if mark.get("rendered") else ""
    seed = f"seed {mark['seed']}" if "seed" in mark else ""
    lines = {
        "protocol": (
            f"split {mark['split']}" if mark.get("split", "test") != "test" else "",
            shots,
            draw,
            f"CMC of {mark['cmc']}" if "cmc" in mark else "",
            f"cameras: {str(mark.get('camera_rule', 'none')).partition(':')[0]}",
        ),
        "data": (
            f"{mark.get('source', '')} {mark.get('data', '')}".strip() or mark.get("features", ""),
            rendered,
            mark.get("identity_split", ""),
            trained,
        ),
        "model": (
            *(str(mark.get(key, "")) for key in ("recipe", "precision", "image_size")),
            epoch,
            seed,
            f"weights {str(mark['weights']).partition(' (')[0]}" if mark.get("weights") else "",
        ),
        "scores": (
            str(mark.get("distance", "")).partition(" (")[0],
            str(mark.get("embedding", "")),
            "95 % by bootstrap" if intervals else "",
            "all settings: --verbose",
        ),
    }
    return [f"{name}: {', '.join(str(part) for part in parts if part)}" for name, parts in lines.items()]


def full_provenance(content: EvaluationFile) -> list[str]:
    """The methods of intervals and differences, and the whole fingerprint, one line each."""
    lines = [f"interval: {content['interval']}"] if content.get("interval") else []
    if against := content.get("against"):
        lines.append(f"difference: {against['test']}")
    return [*lines, fingerprint_text(content["fingerprint"])]


def fingerprint_text(fingerprint: Mapping[str, Any]) -> str:
    """Format a protocol fingerprint as one line."""
    return "  ".join(f"{key}={value}" for key, value in fingerprint.items() if value != "")
