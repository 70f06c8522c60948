"""Where a dataset comes from: real, or rendered by this toolkit and marked as such.

A rendered tree carries ``vireid-rendered.json`` at its root. The mark travels from here into the
store, into every fingerprint and every table, so that no rendered figure is taken for a real one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vireid_cli.errors import DataError

MANIFEST = "vireid-rendered.json"
"""Name of the file that marks a rendered tree."""

REQUIRED = ("content_hash", "seed", "version")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Real or rendered.

    Attributes:
        kind: ``real`` where the tree has no manifest.
        manifest: The manifest's content; empty for a real dataset.
    """

    kind: Literal["real", "rendered"] = "real"
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def rendered(self) -> bool:
        """Whether the images were rendered by this toolkit."""
        return self.kind == "rendered"

    @property
    def content(self) -> str:
        """The manifest's hash of the rendered content; empty for a real dataset."""
        return str(self.manifest.get("content_hash", ""))


def is_rendered(root: Path) -> bool:
    """Whether the tree at ``root`` carries the mark of a rendered dataset."""
    return (root / MANIFEST).is_file()


def read_provenance(root: Path) -> Provenance:
    """Provenance of the tree at ``root``.

    Raises:
        DataError: The manifest can't be read, lacks a key, or says that rendering did not finish.
    """
    path = root / MANIFEST
    if not path.is_file():
        return Provenance()
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} can't be read: {error}", "Render it again: vireid prepare synthetic"
        ) from error
    if not isinstance(manifest, dict) or manifest.get("complete") is not True:
        raise DataError(
            f"the rendered dataset at {root} is not complete: rendering was interrupted",
            "Run 'vireid prepare synthetic' with the same options: it continues where it stopped.",
        )
    missing = [key for key in REQUIRED if key not in manifest]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}", "Render the dataset again: vireid prepare synthetic"
        )
    return Provenance("rendered", manifest)
