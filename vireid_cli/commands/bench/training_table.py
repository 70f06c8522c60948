"""``vireid bench train`` with several recipes: a table on the terminal, or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from vireid_cli import files
from vireid_cli.counts import counted
from vireid_cli.errors import Interrupted, VireidError

if TYPE_CHECKING:
    from vireid_cli.engine.session import Session


def print_training_table(session: Session, json: bool, out: Path | None, **options: Any) -> None:
    """Measure recipes, print their table, and write it to a file after each recipe.

    Args:
        session: Session with device and precision.
        json: Whether to print JSON.
        out: File that receives the JSON; None: no file.
        options: Those of ``bench.training_table.train_table``.

    Raises:
        Interrupted: Ctrl-C stopped the measurement; the finished rows are printed and written.
        VireidError: No recipe could be measured, or the file can't be written.
    """
    from vireid_cli.bench.training_table import train_table
    from vireid_cli.commands import console

    def finished(table: Mapping[str, Any]) -> None:
        """Write the table."""
        if out is not None:
            files.write_json(out, table)

    table = train_table(session, **options, finished=finished)
    rows = table["rows"]
    if json:
        console.print_json(table)
    elif rows:
        console.print_table(training_table(rows))
        console.print_lines(machine_lines(table))
    if table["stopped"]:
        done = f"stopped: {len(rows)} of {counted(table['planned'], 'recipe')} measured."
        raise Interrupted(done, f"Their rows are in {out}." if out is not None else "")
    if all("error" in row for row in rows):
        raise VireidError("no recipe could be measured.", rows[0]["error"])


def training_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with one row per recipe; sizes that differ from the recipe's own are marked by ``*``."""
    table = Table(title="training steps", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("recipe", overflow="fold")
    for name in ("size", "images/step", "images/s", "ms/step", "quartiles", "MB", "augment"):
        table.add_column(name, justify="right")
    table.add_column("compile")
    for row in rows:
        if "error" in row:
            table.add_row(row["recipe"], row["error"])
            continue
        mark = "*" if row["reduced"] else ""
        low, high = row["seconds_per_step_quartiles"]
        table.add_row(
            row["recipe"],
            f"{row['size']}{mark}",
            f"{row['images_per_step']}{mark}",
            f"{row['images_per_second']:,.0f}",
            f"{1e3 * row['seconds_per_step']:,.1f}",
            f"{1e3 * low:,.1f}–{1e3 * high:,.1f}",
            f"{row['peak_memory_bytes'] / 1e6:,.0f}",
            f"{row['augmentation_share']:.1%}",
            row["compile"],
        )
    return table


def machine_lines(table: Mapping[str, Any]) -> list[str]:
    """Return lines with the meaning of the columns, the machine, the versions and the commit."""
    rows = [row for row in table["rows"] if "error" not in row]
    lines = []
    if any(row["reduced"] for row in rows):
        lines.append("* reduced; the recipe's own size and batch are in the JSON")
    if rows:
        layout = _state(rows, "channels_last", "channels-last", "contiguous")
        update = _state(rows, "fused_optimizer", "fused optimizer", "optimizer not fused")
        lines.append(f"{table['precision']}, {layout}, {update}; MB: peak of {rows[0]['peak_memory_of']}")
    lines.append(f"{table['device']}, {counted(table['threads'], 'thread')}; CPU {table['cpu']}")
    versions = " ".join(f"{name} {table[name]}" for name in ("vireid", "torch", "numpy", "python"))
    cuda = f" CUDA {table['cuda']}" if table["cuda"] else ""
    lines.append(f"{versions}{cuda}; commit {table['commit'] or 'unknown'}")
    return lines


def _state(rows: Sequence[Mapping[str, Any]], key: str, on: str, off: str) -> str:
    """Text of a state of all rows; names the number of rows if they differ."""
    number = sum(bool(row[key]) for row in rows)
    if 0 < number < len(rows):
        return f"{on} in {number} of {len(rows)}"
    return on if number else off
