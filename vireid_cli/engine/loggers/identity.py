"""Identities of a run in MLflow and wandb: the files ``logger-mlflow.json`` and ``logger-wandb.json``."""

from __future__ import annotations

from pathlib import Path

from vireid_cli import files
from vireid_cli.errors import DataError


def read_identity(folder: Path, name: str) -> dict[str, str]:
    """Return the identity of a run in one logger; empty if it has none, or the file is damaged."""
    try:
        content = files.read_json(_path(folder, name))
    except DataError:
        return {}
    known = content if isinstance(content, dict) else {}
    return {key: value for key, value in known.items() if isinstance(value, str)}


def write_identity(folder: Path, name: str, identity: dict[str, str]) -> None:
    """Record the identity of a run in one logger. Raises ``DataError`` if it can't be written."""
    files.write_json(_path(folder, name), identity)


def _path(folder: Path, name: str) -> Path:
    return folder / f"logger-{name}.json"
