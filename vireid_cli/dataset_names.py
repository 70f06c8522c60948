"""Names of datasets: that of a source, or ``folder:<label>`` for one of several own folders."""

from __future__ import annotations

import re
from pathlib import Path

OWN = "folder"
"""Source of own images, the only one with labels."""

SOURCES = Path(__file__).parent / "data" / "sources"
"""Folder of the sources."""

_LABEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def source_names() -> list[str]:
    """List the names of all sources, sorted; imports none of them.

    >>> {"folder", "occ-sysu", "sysu"} <= set(source_names())
    True
    """
    files = SOURCES.glob("*.py")
    return sorted(path.stem.replace("_", "-") for path in files if path.stem != "__init__")


def split_name(dataset: str) -> tuple[str, str]:
    """Divide the name of a dataset into source and label; the label is empty without a colon.

    >>> split_name("folder:site"), split_name("sysu")
    (('folder', 'site'), ('sysu', ''))
    """
    source, _, label = dataset.partition(":")
    return source, label


def label_problem(dataset: str) -> str:
    """Return the reason why the label of a dataset's name is wrong; empty if it is right or absent."""
    source, colon, label = dataset.partition(":")
    if not colon:
        return ""
    if source != OWN:
        return f"'{dataset}': only {OWN} has labels ({OWN}:NAME)"
    if not _LABEL.fullmatch(label):
        return (
            f"'{label}' can't be the name of a folder dataset: use at most 40 lower-case letters, digits, "
            "- and _, with a letter or digit first"
        )
    return ""


def prepare_command(dataset: str) -> str:
    """Return the command that prepares a dataset, without options.

    >>> prepare_command("folder:site")
    'vireid prepare folder --name site'
    """
    source, label = split_name(dataset)
    return f"vireid prepare {source}" + (f" --name {label}" if label else "")


def prepared_labels(data_dir: Path) -> list[str]:
    """List the names of all prepared own folders with a label, such as ``folder:site``."""
    stores = (data_dir / "prepared").glob(f"{OWN}*@*/store.json")
    return sorted({f"{OWN}:{path.parent.name.partition('@')[2]}" for path in stores})
