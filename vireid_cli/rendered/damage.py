"""Damaged files of a complete rendered tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid_cli.rendered.manifest import SUMS, hash_tree, read_hashes, tree_files


@dataclass(frozen=True, slots=True)
class Damage:
    """Differences between a tree and its manifest.

    Attributes:
        changed: Paths of files that differ.
        missing: Paths of missing files.
        foreign: Paths of files that do not belong to the benchmark; they are not damage.
        parts: Top-level entries that differ, if the tree has no list of hashes to name their files.
        hashes: Whether the list of hashes is missing or differs from the one that the manifest records.
    """

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    hashes: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the files to write again."""
        return (*self.changed, *self.missing, *([SUMS] if self.hashes else []))

    def lines(self) -> list[str]:
        """One message per difference; an empty list if nothing differs."""
        return [
            *([f"{SUMS}: the list of hashes is damaged or missing"] if self.hashes else []),
            *(f"{part}: files differ from the rendered ones" for part in self.parts),
            *(f"{path}: changed after rendering" for path in self.changed if not self.parts),
            *(f"{path}: missing" for path in self.missing),
            *(f"{path}: not a file of the benchmark; delete it" for path in self.foreign),
        ]


def find_damage(root: Path, manifest: Mapping[str, Any]) -> Damage:
    """Compare each file of a complete tree with its hash.

    A tree of an earlier version has no list of hashes: all files of a differing part count as changed.

    Args:
        root: Root folder of the tree.
        manifest: The tree's manifest.
    """
    expected = read_hashes(root, manifest)
    if expected is None:
        lost = "files_sha256" in manifest
        whole, parts, files = hash_tree(root)
        if whole == manifest["content_hash"]:
            return Damage(hashes=lost)
        recorded = manifest["parts"]
        differ = tuple(part for part in sorted({*recorded, *parts}) if recorded.get(part) != parts.get(part))
        return Damage(
            changed=tuple(path for path in files if path.split("/")[0] in differ), parts=differ, hashes=lost
        )
    _, _, files = hash_tree(root, expected)
    return Damage(
        tuple(path for path, digest in files.items() if expected[path] != digest),
        tuple(path for path in expected if path not in files),
        tuple(path for path in tree_files(root) if path not in expected),
    )
