"""The mark of a rendered tree: what it was made from, and a hash of what was written.

``vireid-rendered.json`` is written at the start with ``complete: false`` and, last of all files, again with
``complete: true``, counts and hashes. It holds no times, so that two trees of one seed are equal files.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import write_text
from vireid_cli.rendered.layouts import load_layout
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.population import Plan

MANIFEST = "vireid-rendered.json"
VERSION = 1
"""Raised whenever the same parameters give other images."""


def read_manifest(root: Path) -> dict[str, Any] | None:
    """The manifest of a rendered tree, or None where ``root`` has none.

    Raises:
        DataError: The file is there but can't be read.
    """
    path = Path(root) / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read: {error}", "Delete the folder and render it again.") from error
    if not isinstance(found, dict) or not {"version", "parameters", "complete"} <= set(found):
        raise DataError(f"{path} is not a manifest of ours.", "Delete the folder and render it again.")
    return found


def check_parameters(root: Path, options: RenderOptions, device: str) -> dict[str, Any] | None:
    """The manifest in ``root``, or None where nothing was rendered there yet.

    Raises:
        UsageError: Another tree, or files that nobody rendered, are in the way.
    """
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file: the benchmark is written into a folder.", "Choose another one.")
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


def write_manifest(root: Path, options: RenderOptions, device: str, plan: Plan, *, complete: bool) -> str:
    """Write the manifest and return the content hash ("" while the tree is not complete)."""
    content: dict[str, Any] = {
        "format": "vireid-rendered",
        "layout": load_layout(options.layout).title,
        "version": VERSION,
        "parameters": options.as_parameters(),
        "seed": options.seed,
        "device": device,
        "complete": complete,
    }
    if complete:
        content["content_hash"], content["parts"] = hash_tree(root)
        content["identities"] = {
            "train": len(plan.train), "val": len(plan.val), "test": len(plan.test)
        }  # fmt: skip
        content["images"] = count_images(options, plan)
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    write_text(root / MANIFEST, text)
    return str(content.get("content_hash", ""))


def hash_tree(root: Path) -> tuple[str, dict[str, str]]:
    """sha256 over the sorted relative paths and file hashes, of the whole and of each top-level entry.

    The manifest itself and files whose name starts with a dot are left out.
    """
    whole, parts = hashlib.sha256(), {}
    for top in sorted(root.iterdir()):
        if top.name == MANIFEST or top.name.startswith("."):
            continue
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        part = hashlib.sha256()
        for path in files:
            if path.name.startswith("."):
                continue
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            line = f"{path.relative_to(root).as_posix()} {digest}\n".encode("utf-8", "surrogateescape")
            part.update(line)
            whole.update(line)
        parts[top.name] = part.hexdigest()
    return whole.hexdigest(), parts
