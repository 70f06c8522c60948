"""``train.jsonl``: rows of a training's log, each checked by the form of its kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vireid_cli import documents, reading
from vireid_cli.errors import DataError
from vireid_cli.results import schema

HINT = "Fix or delete this line; vireid train writes such rows whole."


def log_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers, from 1, and rows of a log; lines that are no rows are skipped.

    Raises:
        DataError: The file can't be read; one that does not exist has no rows.
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
    """Rows of a log; steps and epochs hold what ``schema.StepRow`` and ``schema.EpochRow`` state.

    Raises:
        DataError: A row does not; or a line other than the last, which a kill may have cut, is no row.
    """
    rows = []
    for number, row in log_rows(path):
        form = schema.LOG_FORMS.get(row["kind"])
        if form is not None:
            documents.check_form(row, form, f"{path}:{number}", hint=HINT)
        rows.append(row)
    lines = reading.read_bytes(path).count(b"\n") if path.exists() else 0
    if len(rows) < lines:
        raise DataError(
            f"{path}: {lines - len(rows)} of {lines} lines are no rows of a log.",
            "The log is damaged: restore it, or train anew.",
        )
    return rows
