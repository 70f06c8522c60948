"""Reading of ``train.jsonl``, the log of a training, with validation of its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vireid_cli import documents, reading
from vireid_cli.errors import DataError
from vireid_cli.results.training_schema import LOG_FORMS

HINT = "Fix or delete this line; vireid train does not write such a row."


def log_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line numbers, from 1, and rows of a log; skips invalid lines. A missing file has no rows.

    Raises:
        DataError: The file can't be read.
    """
    if not path.exists():
        return
    text = reading.read_bytes(path, limit=reading.TEXT_LIMIT).decode("utf-8", "replace")
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("kind"), str):
            yield number, row


def checked_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a log and validate steps and epochs.

    Raises:
        DataError: A step or epoch is invalid, or a line is not a row. The last line is excepted, because a
            kill can cut it.
    """
    rows = []
    for number, row in log_rows(path):
        form = LOG_FORMS.get(row["kind"])
        if form is not None:
            documents.check_form(row, form, f"{path}:{number}", hint=HINT)
        rows.append(row)
    lines = reading.read_bytes(path).count(b"\n") if path.exists() else 0
    if len(rows) < lines:
        raise DataError(
            f"{path}: {lines - len(rows)} of {lines} lines are not rows of a log.",
            "The log is damaged: restore it, or train again.",
        )
    return rows
