"""The manifest of a rendered tree: its parameters and the hashes of its files.

``vireid-rendered.json`` is written at the start with ``complete: false`` and rewritten after all other files
with ``complete: true``, counts and hashes. It has no times, so that two trees of one seed are identical.
``vireid-rendered.sha256`` has the hash of each file in the format of ``sha256sum``; damaged files are
detected by it and rendered again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from vireid_cli import documents, sums
from vireid_cli.dial_defaults import DIALS
from vireid_cli.errors import UsageError
from vireid_cli.files import write_sealed, write_text
from vireid_cli.rendered.layouts import load_layout
from vireid_cli.rendered.options import ADDED, RenderOptions
from vireid_cli.rendered.population import Plan
from vireid_cli.tree_marks import Rendered, WholeTree

MANIFEST = "vireid-rendered.json"
SUMS = "vireid-rendered.sha256"
OCCLUDED = "vireid-occluded.json"
"""Mark of a tree written by ``vireid prepare occluded``; with a rendered base, it has our manifest too."""

VERSION = 2
"""Version of the renderer; incremented when the same parameters give different images."""


def read_manifest(root: Path) -> dict[str, Any] | None:
    """Load the manifest of a rendered tree; None if ``root`` has none.

    Raises:
        DataError: The manifest can't be read.
    """
    path = Path(root) / MANIFEST
    if not path.exists():
        return None
    hint = "Delete the folder and render it again."
    content = documents.read_json(path, hint=hint)
    complete = isinstance(content, dict) and content.get("complete") is True
    documents.check_form(content, WholeTree if complete else Rendered, str(path), hint=hint)
    documents.check_seal(content, str(path), hint=hint)
    manifest: dict[str, Any] = content
    return manifest


def check_parameters(root: Path, options: RenderOptions, device: str) -> dict[str, Any] | None:
    """Compare the parameters with the manifest in ``root`` and return it; None if ``root`` has no manifest.

    Raises:
        UsageError: ``root`` has a tree with other parameters, or files that were not rendered.
    """
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file; the benchmark needs a folder.", "Choose another path.")
    if (root / OCCLUDED).exists():
        raise UsageError(
            f"{root} is an occluded dataset: rendering would overwrite it.", "Choose another folder."
        )
    manifest = read_manifest(root)
    if manifest is None:
        if root.is_dir() and not all(path.name.startswith(f".{MANIFEST}.") for path in root.iterdir()):
            raise UsageError(
                f"{root} is not empty and was not rendered by vireid: no file is written.",
                "Choose another folder, or move these files away.",
            )
        return None
    if manifest["version"] != VERSION:
        raise UsageError(
            f"{root} was rendered by version {manifest['version']} of the renderer; "
            f"version {VERSION} renders other images.",
            "Delete the folder or choose another one, and run this command again.",
        )
    title = load_layout(options.layout).title
    requested = {"layout": title, **options.as_parameters()}
    recorded = {"layout": manifest.get("layout"), **ADDED, **DIALS, **manifest["parameters"]}
    if not manifest["complete"]:
        requested["device"], recorded["device"] = device, manifest.get("device")
    differ = [
        f"{k}: {recorded.get(k)} in the folder, {v} requested"
        for k, v in requested.items()
        if recorded.get(k) != v
    ]
    if differ:
        raise UsageError(
            f"{root} has a rendered benchmark with other parameters ({'; '.join(differ)}).",
            "Render into another folder, use the parameters of this folder, or delete it first.",
        )
    return manifest


def count_images(options: RenderOptions, plan: Plan) -> dict[str, dict[int, int]]:
    """Count images by split and camera."""
    counts: dict[str, dict[int, int]] = {}
    cameras = load_layout(options.layout).cameras
    for split, pids in (("train", plan.train), ("val", plan.val), ("test", plan.test)):
        seen = [camid for pid in pids for camid in plan.cameras[pid]]
        counts[split] = {
            camid: camera.frames(options.images) * seen.count(camid) for camid, camera in cameras.items()
        }
    return counts


def write_manifest(
    root: Path, options: RenderOptions, device: str, plan: Plan, files: Collection[str] | None = None
) -> str:
    """Write the manifest and return the content hash ("" while the tree is not complete).

    Args:
        root: Root folder of the tree.
        options: Parameters of the tree.
        device: Kind of device that renders.
        plan: People of the tree.
        files: Paths of all files, after they were written; None marks the tree as not complete.
    """
    content: dict[str, Any] = {
        "format": "vireid-rendered",
        "layout": load_layout(options.layout).title,
        "version": VERSION,
        "parameters": options.as_parameters(),
        "seed": options.seed,
        "device": device,
        "complete": files is not None,
    }
    if files is not None:
        content["content_hash"], content["parts"], digests = hash_tree(root, files)
        text = sums.sums_text(digests)
        content["files_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        write_text(root / SUMS, text)
        content["identities"] = {
            "train": len(plan.train), "val": len(plan.val), "test": len(plan.test)
        }  # fmt: skip
        content["images"] = count_images(options, plan)
    write_sealed(root / MANIFEST, dict(sorted(content.items())))
    return str(content.get("content_hash", ""))


def read_hashes(root: Path, manifest: Mapping[str, Any]) -> dict[str, str] | None:
    """Load the hashes of a complete tree, keyed by path; None if missing or not of this manifest."""
    return sums.read_sums(root / SUMS, manifest.get("files_sha256"))


def tree_files(root: Path) -> list[str]:
    """List all files under a tree, sorted by part, except the manifest, the hashes and hidden files."""
    names = []
    for top in sorted(root.iterdir()):
        if top.name in (MANIFEST, SUMS) or top.name.startswith("."):
            continue
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        names += [path.relative_to(root).as_posix() for path in files if not path.name.startswith(".")]
    return names


def hash_tree(root: Path, files: Collection[str] | None = None) -> tuple[str, dict[str, str], dict[str, str]]:
    """Hash the files of a tree.

    Args:
        root: Root folder of the tree.
        files: Paths to hash; some may be missing. None hashes all files.

    Returns:
        The sha256 over the sorted relative paths and file hashes of the tree, the same for each top-level
        entry, and the hash of each file, keyed by path.
    """
    digests = sums.hash_files(root, (name for name in tree_files(root) if files is None or name in files))
    whole = hashlib.sha256()
    parts: dict[str, hashlib._Hash] = {}
    for name, digest in digests.items():
        line = f"{name} {digest}\n".encode("utf-8", "surrogateescape")
        whole.update(line)
        parts.setdefault(name.split("/")[0], hashlib.sha256()).update(line)
    return whole.hexdigest(), {name: part.hexdigest() for name, part in parts.items()}, digests
