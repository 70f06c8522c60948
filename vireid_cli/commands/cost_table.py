"""Table of the costs of networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from vireid_cli.commands.console import print_line, print_table
from vireid_cli.counts import counted
from vireid_cli.printable import printable


def print_costs(costs: Sequence[Mapping[str, Any]]) -> None:
    """Print one row per network, the paper's values below it, and the device of the latency."""
    table = Table(title="cost of one embedding", title_justify="left", title_style="bold")
    table.add_column("")
    first = costs[0]
    batch = f"ms/batch of {first['latency_batch']}"
    for name in (
        "size",
        "M parameters",
        "without classifier",
        "G multiply-adds",
        "GFLOPs",
        "ms/image",
        batch,
    ):
        table.add_column(name, justify="right")
    for cost in costs:
        table.add_row(
            cost["recipe"],
            cost["size"],
            *(f"{cost[key] / 1e6:.2f}" for key in ("parameters", "parameters_without_classifier")),
            *(f"{cost[key] / 1e9:.3f}" for key in ("multiply_adds", "flops")),
            *(f"{cost[key]:.2f}" for key in ("latency_ms_one_image", "latency_ms_batch")),
        )
        if paper := cost["reported"]:
            size = "–" if paper["size"] is None else "{}x{}".format(*paper["size"])
            numbers = [paper[key] for key in ("parameters", "multiply_adds", "latency")]
            parameters, products, latency = ("–" if n is None else f"{n:.2f}" for n in numbers)
            table.add_row(
                f"paper {paper['source']}".strip(), size, "–", parameters, products, "–", latency, "–"
            )
    print_table(table)
    for cost in costs:
        parts = ", ".join(f"{name} {size / 1e6:.2f} M" for name, size in cost["parts"].items())
        print_line(f"{cost['recipe']}: {parts}", "dim")
    print_line(f"latency on {first['device']}, {first['precision']}, {counted(first['threads'], 'thread')}")


def print_artifacts(costs: Sequence[Mapping[str, Any]]) -> None:
    """Print one row per exported file: size, latency, difference from PyTorch; and metrics below."""
    table = Table(title="exported files, on the CPU", title_justify="left", title_style="bold")
    for name in ("file", "runtime", "precision"):
        table.add_column(name)
    for name in ("MB", "ms/image", "ms/batch of 8", "largest difference"):
        table.add_column(name, justify="right")
    for cost in costs:
        times = [cost[key] for key in ("latency_ms_one_image", "latency_ms_batch")]
        table.add_row(
            printable(cost["name"]),
            cost["runtime"],
            cost["precision"],
            f"{cost['megabytes']:.2f}",
            *("–" if time is None else f"{time:.2f}" for time in times),
            f"{cost['largest_difference']:.1e}",
        )
    print_table(table)
    for cost in costs:
        for text in (cost["accuracy"], cost["failure"]):
            if text:
                print_line(f"{cost['name']}: {text}", "dim")
