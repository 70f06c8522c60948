"""Where a dataset comes from: real, or rendered by this toolkit; and whether people were occluded.

A rendered tree carries ``vireid-rendered.json`` at its root, an occluded one ``vireid-occluded.json``
(and its base's mark beside it). The marks travel from here into the store, into every fingerprint and
every table, so that no rendered or occluded metric is taken for another one.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vireid_cli import documents
from vireid_cli.errors import DataError
from vireid_cli.tree_marks import DIALS, Mark, OccludedSource, RenderedSource

MANIFEST = "vireid-rendered.json"
"""Name of the file that marks a rendered tree."""

OCCLUSION = "vireid-occluded.json"
"""Name of the file that marks an occluded tree."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Real or rendered.

    Attributes:
        kind: ``real`` where the tree has no manifest.
        manifest: The manifest's content; empty for a real dataset.
        occlusion: The occlusion mark's content; empty where nobody was occluded.
    """

    kind: Literal["real", "rendered"] = "real"
    manifest: dict[str, Any] = field(default_factory=dict)
    occlusion: dict[str, Any] = field(default_factory=dict)

    @property
    def rendered(self) -> bool:
        """Whether the images were rendered by this toolkit."""
        return self.kind == "rendered"

    @property
    def content(self) -> str:
        """The manifest's hash of the rendered content; empty for a real dataset."""
        return str(self.manifest.get("content_hash", ""))

    @property
    def occlusion_content(self) -> str:
        """The occlusion mark's hash of the occluded tree; empty where nobody was occluded."""
        return str(self.occlusion.get("content_hash", ""))


def changed_dials(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Dials of a rendered tree that differ from the renderer's defaults, by name."""
    known = manifest.get("parameters", {})
    return {name: known[name] for name, usual in DIALS.items() if known.get(name, usual) != usual}


def dials_text(manifest: Mapping[str, Any]) -> str:
    """The changed dials of a rendered tree, such as ``gap 0.5, noise 1``; empty if there are none."""
    return ", ".join(f"{name} {value:g}" for name, value in changed_dials(manifest).items())


def rendering_command(layout: str, manifest: Mapping[str, Any], root: Path) -> str:
    """The command that renders a tree with the parameters of its manifest, and repairs it."""
    known = manifest.get("parameters", {})
    size = "x".join(map(str, known.get("size", ()))) or None
    options = {
        "ids": known.get("ids"),
        "images": known.get("images"),
        "seed": known.get("seed"),
        "size": size,
    }
    words = [f"--{name} {value}" for name, value in options.items() if value is not None]
    words += [f"--{name} {value:g}" for name, value in changed_dials(manifest).items()]
    command = ["vireid prepare synthetic --layout", layout, *words, "--root", shlex.quote(str(root))]
    return " ".join([*command, "--device", str(manifest.get("device", "auto"))])


def is_rendered(root: Path) -> bool:
    """Whether the tree at ``root`` carries the mark of a rendered dataset."""
    return (root / MANIFEST).is_file()


def read_provenance(root: Path) -> Provenance:
    """Provenance of the tree at ``root``.

    Raises:
        DataError: A mark can't be read, lacks a key, or says that its making did not finish.
    """
    manifest = _read_mark(root / MANIFEST, RenderedSource, "rendered", "vireid prepare synthetic")
    occlusion = _read_mark(root / OCCLUSION, OccludedSource, "occluded", "vireid prepare occluded")
    return Provenance("rendered" if manifest else "real", manifest, occlusion)


def _read_mark(path: Path, form: type[Mark], what: str, command: str) -> dict[str, Any]:
    """Content of a mark, empty if there is none; see ``read_provenance`` for what it raises."""
    if not path.exists():
        return {}
    again = f"Make the dataset again: {command}"
    content = documents.read_json(path, hint=again)
    if isinstance(content, dict) and content.get("complete", False) is False:
        raise DataError(
            f"the {what} dataset at {path.parent} is not complete: its making was interrupted",
            f"Run '{command}' with the same options: it continues where it stopped.",
        )
    documents.check_form(content, form, str(path), hint=again)
    found: dict[str, Any] = content
    return found
