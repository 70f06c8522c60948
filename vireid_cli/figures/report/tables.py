"""Tables of a report: headline numbers, differences, camera pairs, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vireid_cli.figures.report.parts import Cell, Headline, Table, TableRow
from vireid_cli.results.formatting import bounds, column_name, evaluation_title, percent
from vireid_cli.results.schema import Against, EvaluationFile, Metric

TILES = ("rank1", "mAP", "mINP")
NONE = Cell("–")
CLEAR = 0.05
"""Maximum p-value of a highlighted difference; its interval must also exclude zero."""


def tiles(content: EvaluationFile) -> tuple[Headline, ...]:
    """Select the headline numbers; face datasets show verification rates instead of mINP."""
    metrics = content["metrics"]
    names = [name for name in TILES if name in metrics]
    rates = [name for name in metrics if name.startswith("vr_far_")]
    if rates:
        names = [*names[:2], *rates][:4]
    paper = content["reported"][0] if content["reported"] else {}
    return tuple(
        _tile(name, metrics[name], content["chance"].get(name), _number(paper.get(name))) for name in names
    )


def _number(value: object) -> float | None:
    """A number of the paper's row; None for its texts, source and protocol."""
    return float(value) if isinstance(value, int | float) else None


def _tile(name: str, metric: Metric, chance: float | None, paper: float | None) -> Headline:
    low, high = (None, None) if metric["interval"] is None else (100 * b for b in metric["interval"])
    return Headline(
        column_name(name),
        100 * metric["mean"],
        low,
        high,
        None if chance is None else 100 * chance,
        paper,
    )


def headline(contents: Sequence[EvaluationFile], names: Sequence[str], against: Sequence[Against]) -> Table:
    """Build the table of one protocol: metrics of all runs, chance level, values of the paper, differences.

    Args:
        contents: One evaluation per run.
        names: Names of the runs.
        against: Differences first − other, one per further run that is paired with the first.
    """
    first = contents[0]
    figures = list(first["metrics"])
    several = len(contents) > 1
    rows = []
    for run, (content, name) in enumerate(zip(contents, names, strict=True)):
        head = Cell(name if several else "this run", "" if several else "95 % interval beneath")
        rows.append(TableRow(head, _cells(content["metrics"], figures), run if several else None))
        rows += [
            TableRow(Cell(v["name"], name if several else ""), _cells(v["metrics"], figures), faint=True)
            for v in content.get("variants", [])
        ]
    if first["trials"] > 1 and not several:
        spread = tuple(Cell(percent(first["metrics"][f]["std"])) for f in figures)
        rows.append(
            TableRow(Cell("standard deviation", f"over {first['trials']} trials"), spread, faint=True)
        )
    chance = tuple(Cell(percent(_chance(first, f))) for f in figures)
    rows.append(TableRow(Cell("chance", "a random ranking"), chance, faint=True))
    rows += _paper_rows(first["reported"], figures)
    rows += [row for one in against for row in _difference_rows(one, names[0], figures)]
    notes = [first["interval"] and f"Interval: {first['interval']}."]
    notes += [
        f"Difference: {one['test']}. Bold: the interval excludes 0 and p < {CLEAR}." for one in against[:1]
    ]
    heads = ("%", *(column_name(f) for f in figures))
    return Table(evaluation_title(first), heads, tuple(rows), tuple(note for note in notes if note))


def _chance(content: EvaluationFile, figure: str) -> float | None:
    """Return the chance level of a metric from the file, or from the chance level of its CMC."""
    levels = content.get("chance_cmc", [])
    rank = int(figure[4:]) if figure.startswith("rank") else 0
    known = content["chance"].get(figure)
    return levels[rank - 1] if known is None and 0 < rank <= len(levels) else known


def _cells(metrics: Mapping[str, Metric], figures: Sequence[str]) -> tuple[Cell, ...]:
    cells = []
    for name in figures:
        metric = metrics.get(name)
        if metric is None:
            cells.append(NONE)
            continue
        interval = metric.get("interval")
        cells.append(Cell(percent(metric["mean"]), bounds(interval) if interval else ""))
    return tuple(cells)


def _paper_rows(reported: Sequence[Mapping[str, Any]], figures: Sequence[str]) -> list[TableRow]:
    return [
        TableRow(
            Cell("paper", str(row.get("source", ""))),
            tuple(Cell(f"{row[f]:.2f}") if f in row else NONE for f in figures),
        )
        for row in reported
    ]


def _difference_rows(one: Against, first: str, figures: Sequence[str]) -> list[TableRow]:
    """Build the rows first − other with interval and p-value; bold if both exclude zero."""
    cells = []
    for name in figures:
        difference = one["differences"].get(name)
        if difference is None:
            cells.append(NONE)
            continue
        low, high = (100 * bound for bound in difference["interval"])
        text = f"{signed(low, 1)} to {signed(high, 1)}\n{p_text(difference['p_value'])}"
        clear = (low > 0 or high < 0) and difference["p_value"] < CLEAR
        cells.append(Cell(signed(100 * difference["mean"], 2), text, emphasis="best" if clear else ""))
    return [TableRow(Cell(f"{first} − {one['name']}", "paired, in points"), tuple(cells))]


def p_text(value: float) -> str:
    """Format a p-value with three decimals."""
    return f"p {value:.3f}" if value >= 0.001 else "p < 0.001"


def signed(value: float, digits: int) -> str:
    """Format a number with its sign and a typographic minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def camera_pairs(by_run: Sequence[Sequence[Mapping[str, Any]]], names: Sequence[str]) -> Table:
    """Build the table of Rank-1 and mAP per query and gallery camera; a single run also has bars."""
    several = len(by_run) > 1
    keys = [(row["query_camera"], row["gallery_camera"]) for row in by_run[0]]
    tables = [{(row["query_camera"], row["gallery_camera"]): row for row in rows} for rows in by_run]
    figures = ("rank1", "mAP") if several else ("rank1", "mAP", "mINP")
    heads = ["query → gallery", "queries"]
    heads += [f"{column_name(f)}, {name}" if several else column_name(f) for f in figures for name in names]
    rows = []
    for key in keys:
        cells = [Cell(f"{tables[0][key]['queries']:,}")]
        for figure in figures:
            values = [table[key][figure] if key in table else None for table in tables]
            cells += [Cell(percent(value), share=value, run=run) for run, value in enumerate(values)]
        rows.append(TableRow(Cell(f"camera {key[0]} → {key[1]}"), tuple(cells)))
    note = "Each gallery camera separately; valid queries of all trials pooled. Means in percent."
    if not several and all(row["mAP"] == row["mINP"] for row in by_run[0]):
        note += " mAP and mINP are equal if every query has one match."
    return Table("By camera pair", tuple(heads), tuple(rows), (note,))


def costs(networks: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Table:
    """Build the table of parameters, multiply-adds and measured latency, with the paper's values below."""
    timed = all("latency_ms_one_image" in cost for cost in networks)
    heads = ["one embedding", "input", "parameters", "without classifier", "multiply-adds", "FLOPs"]
    heads += ["one image", f"batch of {networks[0]['latency_batch']}"] if timed else []
    several = len(networks) > 1
    rows = []
    for run, (cost, name) in enumerate(zip(networks, names, strict=True)):
        cells = [Cell(str(cost["size"]))]
        cells += [Cell(f"{cost[k] / 1e6:.2f} M") for k in ("parameters", "parameters_without_classifier")]
        cells += [Cell(f"{cost[key] / 1e9:.3f} G") for key in ("multiply_adds", "flops")]
        if timed:
            cells += [Cell(f"{cost[key]:.2f} ms") for key in ("latency_ms_one_image", "latency_ms_batch")]
        rows.append(TableRow(Cell(name, str(cost["method"])), tuple(cells), run if several else None))
        if cost["reported"]:
            rows.append(_paper_cost(cost["reported"], timed))
    notes = ["Multiply-adds of convolutions, products, attention and Fourier transforms; FLOPs are double."]
    if timed:
        notes.append("Latency on {device}, {precision}, {threads} threads.".format(**networks[0]))
    return Table("Cost of the network", tuple(heads), tuple(rows), tuple(notes))


def _paper_cost(paper: Mapping[str, Any], timed: bool) -> TableRow:
    size = "–" if paper["size"] is None else "{}x{}".format(*paper["size"])
    units = (("parameters", "M"), ("multiply_adds", "G"), ("latency", "ms"))
    texts = {key: "–" if paper[key] is None else f"{paper[key]:.2f} {unit}" for key, unit in units}
    cells = [size, "–", texts["parameters"], texts["multiply_adds"], "–"]
    cells += [texts["latency"], "–"] if timed else []
    return TableRow(Cell("paper", str(paper["source"])), tuple(Cell(text) for text in cells))


def differences(caption: str, values: Mapping[str, Sequence[str]], names: Sequence[str]) -> Table:
    """Build the table of keys with different values between runs, one column per run."""
    rows = [TableRow(Cell(key), tuple(Cell(text) for text in texts)) for key, texts in values.items()]
    return Table(caption, ("key", *names), tuple(rows), words=True)
