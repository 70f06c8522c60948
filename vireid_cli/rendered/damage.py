"""Files of a complete rendered tree that are not as they were written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid_cli.rendered.manifest import hash_tree, read_hashes, tree_files


@dataclass(frozen=True, slots=True)
class Damage:
    """Differences between a tree and its manifest.

    Attributes:
        changed: Paths of files that differ.
        missing: Paths of files that are not there.
        foreign: Paths of files that nobody rendered; they do not count.
        parts: Top-level entries that differ, where no list of hashes says which of their files do.
    """

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Files to write again."""
        return (*self.changed, *self.missing)

    def lines(self) -> list[str]:
        """A sentence on each difference; none: the list is empty."""
        return [
            *(f"{part}: files differ from those that were rendered" for part in self.parts),
            *(f"{path}: changed since it was rendered" for path in self.changed if not self.parts),
            *(f"{path}: missing" for path in self.missing),
            *(f"{path}: not a file of the benchmark; delete it" for path in self.foreign),
        ]


def find_damage(root: Path, manifest: Mapping[str, Any]) -> Damage:
    """Compare each file of a complete tree with its hash.

    A tree of an earlier version has no list of hashes: all files of a part that differs count as changed.

    Args:
        root: The tree.
        manifest: Its manifest.
    """
    expected = read_hashes(root, manifest)
    if expected is None:
        whole, parts, files = hash_tree(root)
        if whole == manifest["content_hash"]:
            return Damage()
        wanted = manifest["parts"]
        differ = tuple(part for part in sorted({*wanted, *parts}) if wanted.get(part) != parts.get(part))
        return Damage(changed=tuple(path for path in files if path.split("/")[0] in differ), parts=differ)
    _, _, files = hash_tree(root, expected)
    return Damage(
        tuple(path for path, digest in files.items() if expected[path] != digest),
        tuple(path for path in expected if path not in files),
        tuple(path for path in tree_files(root) if path not in expected),
    )
