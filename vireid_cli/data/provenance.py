"""Origin of a dataset: real or rendered, and with or without synthetic occlusion.

The root of a rendered tree has the mark ``vireid-rendered.json``, that of an occluded tree
``vireid-occluded.json`` in addition to the mark of its base. The store, all fingerprints and all tables
contain the marks, so that metrics of rendered or occluded data are recognisable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vireid_cli import documents
from vireid_cli.dial_defaults import DIALS
from vireid_cli.errors import DataError
from vireid_cli.printable import shell_line
from vireid_cli.tree_marks import Mark, OccludedSource, RenderedSource

MANIFEST = "vireid-rendered.json"
"""File name of the mark of a rendered tree."""

OCCLUSION = "vireid-occluded.json"
"""File name of the mark of an occluded tree."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of a dataset's images.

    Attributes:
        kind: ``real`` or ``rendered``.
        manifest: Content of the rendered tree's mark; empty for a real dataset.
        occlusion: Content of the occluded tree's mark; empty without occlusion.
    """

    kind: Literal["real", "rendered"] = "real"
    manifest: dict[str, Any] = field(default_factory=dict)
    occlusion: dict[str, Any] = field(default_factory=dict)

    @property
    def rendered(self) -> bool:
        """Whether the images are rendered."""
        return self.kind == "rendered"

    @property
    def content(self) -> str:
        """Content hash of the rendered tree; empty for a real dataset."""
        return str(self.manifest.get("content_hash", ""))

    @property
    def occlusion_content(self) -> str:
        """Content hash of the occluded tree; empty without occlusion."""
        return str(self.occlusion.get("content_hash", ""))


def changed_dials(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Dials of a rendered tree that differ from the renderer's defaults, by name."""
    known = manifest.get("parameters", {})
    return {name: known[name] for name, usual in DIALS.items() if known.get(name, usual) != usual}


def dials_text(manifest: Mapping[str, Any]) -> str:
    """The changed dials of a rendered tree, such as ``gap 0.5, noise 1``; empty if there are none."""
    return ", ".join(f"{name} {value:g}" for name, value in changed_dials(manifest).items())


def rendering_command(layout: str, manifest: Mapping[str, Any], root: Path) -> str:
    """Return the command that renders or repairs a tree with the parameters of its manifest."""
    known = manifest.get("parameters", {})
    size = "x".join(map(str, known.get("size", ()))) or None
    options = {
        "ids": known.get("ids"),
        "more-test-ids": known.get("more_test_ids") or None,
        "images": known.get("images"),
        "seed": known.get("seed"),
        "size": size,
    }
    words = [f"--{name} {value}" for name, value in options.items() if value is not None]
    words += [f"--{name} {value:g}" for name, value in changed_dials(manifest).items()]
    command = ["vireid prepare synthetic --layout", layout, *words, "--root", shell_line([str(root)])]
    return " ".join([*command, "--device", str(manifest.get("device", "auto"))])


def occluding_command(base: str, root: Path, option: str = "") -> str:
    """Return the command that writes or repairs the occluded tree at ``root``, without the policy's options.

    Args:
        base: Name of the base dataset.
        root: Root of the occluded tree.
        option: ``files.data_option`` of the data directory with the base dataset.
    """
    return shell_line(["vireid", "prepare", "occluded", "--from", base, "--root", str(root)]) + option


def is_rendered(root: Path) -> bool:
    """Whether the tree at ``root`` has the mark of a rendered tree."""
    return (root / MANIFEST).is_file()


def read_provenance(root: Path) -> Provenance:
    """Read the marks of the tree at ``root``.

    Raises:
        DataError: A mark is unreadable, invalid, or that of an unfinished tree.
    """
    manifest = _read_mark(root / MANIFEST, RenderedSource, "rendered", "vireid prepare synthetic")
    occlusion = _read_mark(root / OCCLUSION, OccludedSource, "occluded", "vireid prepare occluded")
    return Provenance("rendered" if manifest else "real", manifest, occlusion)


def _read_mark(path: Path, form: type[Mark], kind: str, command: str) -> dict[str, Any]:
    """Read a mark; empty if it is missing. Raises as ``read_provenance``."""
    if not path.exists():
        return {}
    hint = f"Generate the dataset again: {command}"
    content = documents.read_json(path, hint=hint)
    if isinstance(content, dict) and content.get("complete", False) is False:
        raise DataError(
            f"the {kind} dataset at {path.parent} is incomplete: its generation was interrupted",
            f"Run '{command}' with the same options to resume it.",
        )
    documents.check_form(content, form, str(path), hint=hint)
    documents.check_seal(content, str(path), hint=hint)
    mark: dict[str, Any] = content
    return mark
