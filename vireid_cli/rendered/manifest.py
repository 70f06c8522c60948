"""The mark of a rendered tree: what it was made from, and a hash of what was written.

``vireid-rendered.json`` is written at the start with ``complete: false`` and, last of all files, again with
``complete: true``, counts and hashes. It holds no times, so that two trees of one seed are equal files.
``vireid-rendered.sha256`` has the hash of each file in the form of ``sha256sum``, by which damaged files are
named and rendered again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from vireid_cli import documents, sums
from vireid_cli.errors import UsageError
from vireid_cli.files import write_text
from vireid_cli.rendered.layouts import load_layout
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.population import Plan
from vireid_cli.tree_marks import Rendered, WholeTree

MANIFEST = "vireid-rendered.json"
SUMS = "vireid-rendered.sha256"
OCCLUDED = "vireid-occluded.json"
"""Mark of a tree that ``vireid prepare occluded`` wrote; one of a rendered base has our manifest, too."""

VERSION = 1
"""Raised whenever the same parameters give other images."""


def read_manifest(root: Path) -> dict[str, Any] | None:
    """The manifest of a rendered tree, or None where ``root`` has none.

    Raises:
        DataError: The file is there but can't be read.
    """
    path = Path(root) / MANIFEST
    if not path.exists():
        return None
    again = "Delete the folder and render it again."
    content = documents.read_json(path, hint=again)
    whole = isinstance(content, dict) and content.get("complete") is True
    documents.check_form(content, WholeTree if whole else Rendered, str(path), hint=again)
    found: dict[str, Any] = content
    return found


def check_parameters(root: Path, options: RenderOptions, device: str) -> dict[str, Any] | None:
    """The manifest in ``root``, or None where nothing was rendered there yet.

    Raises:
        UsageError: Another tree, or files that nobody rendered, are in the way.
    """
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file: the benchmark is written into a folder.", "Choose another one.")
    if (root / OCCLUDED).exists():
        raise UsageError(
            f"{root} is an occluded dataset: rendering would write over it.", "Choose another folder."
        )
    manifest = read_manifest(root)
    if manifest is None:
        if root.is_dir() and not all(path.name.startswith(f".{MANIFEST}.") for path in root.iterdir()):
            raise UsageError(
                f"{root} is not empty and was not rendered by vireid: nothing is written into it.",
                "Choose another folder, or move the files away if they are not needed.",
            )
        return None
    title = load_layout(options.layout).title
    wanted = {"version": VERSION, "layout": title, **options.as_parameters()}
    there = {"version": manifest["version"], "layout": manifest.get("layout"), **manifest["parameters"]}
    if not manifest["complete"]:
        wanted["device"], there["device"] = device, manifest.get("device")
    differ = [f"{k}: there {there.get(k)}, wanted {v}" for k, v in wanted.items() if there.get(k) != v]
    if differ:
        raise UsageError(
            f"{root} holds a rendered benchmark of other parameters ({'; '.join(differ)}).",
            "Render into another folder, repeat the parameters of this one, or delete it first.",
        )
    return manifest


def count_images(options: RenderOptions, plan: Plan) -> dict[str, dict[int, int]]:
    """Images by split and camera."""
    counts: dict[str, dict[int, int]] = {}
    cameras = load_layout(options.layout).cameras
    for split, pids in (("train", plan.train), ("val", plan.val), ("test", plan.test)):
        seen = [camid for pid in pids for camid in plan.cameras[pid]]
        counts[split] = {camid: options.images * seen.count(camid) for camid in cameras}
    return counts


def write_manifest(
    root: Path, options: RenderOptions, device: str, plan: Plan, files: Collection[str] | None = None
) -> str:
    """Write the manifest and return the content hash ("" while the tree is not complete).

    Args:
        root: The tree.
        options: Its parameters.
        device: Kind of device that renders.
        plan: Its people.
        files: Paths of all its files, once they are written; None: it is not complete.
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
        content["content_hash"], content["parts"], found = hash_tree(root, files)
        text = sums.sums_text(found)
        content["files_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        write_text(root / SUMS, text)
        content["identities"] = {
            "train": len(plan.train), "val": len(plan.val), "test": len(plan.test)
        }  # fmt: skip
        content["images"] = count_images(options, plan)
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    write_text(root / MANIFEST, text)
    return str(content.get("content_hash", ""))


def read_hashes(root: Path, manifest: Mapping[str, Any]) -> dict[str, str] | None:
    """Hash of each file of a complete tree by its path; None: the list is missing or not the manifest's."""
    return sums.read_sums(root / SUMS, manifest.get("files_sha256"))


def tree_files(root: Path) -> list[str]:
    """Paths of all files under a tree, sorted by part: all but the manifest, the hashes and hidden ones."""
    found = []
    for top in sorted(root.iterdir()):
        if top.name in (MANIFEST, SUMS) or top.name.startswith("."):
            continue
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        found += [path.relative_to(root).as_posix() for path in files if not path.name.startswith(".")]
    return found


def hash_tree(root: Path, files: Collection[str] | None = None) -> tuple[str, dict[str, str], dict[str, str]]:
    """Hash the files of a tree.

    Args:
        root: The tree.
        files: Those that count, which may be missing; None: all.

    Returns:
        sha256 over the sorted relative paths and file hashes, of the whole; the same of each top-level entry;
        the hash of each file by its path.
    """
    found = sums.hash_files(root, (name for name in tree_files(root) if files is None or name in files))
    whole = hashlib.sha256()
    parts: dict[str, hashlib._Hash] = {}
    for name, digest in found.items():
        line = f"{name} {digest}\n".encode("utf-8", "surrogateescape")
        whole.update(line)
        parts.setdefault(name.split("/")[0], hashlib.sha256()).update(line)
    return whole.hexdigest(), {name: part.hexdigest() for name, part in parts.items()}, found
