"""SHA-256 hashes of the files of a tree, in the format of ``sha256sum``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vireid_cli.errors import DataError
from vireid_cli.reading import open_regular, read_text

_BLOCK = 1 << 20


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; empty if the file is missing or unreadable."""
    try:
        total = hashlib.sha256()
        with open_regular(path) as file:
            while block := file.read(_BLOCK):
                total.update(block)
        return total.hexdigest()
    except (DataError, OSError):
        return ""


def hash_files(root: Path, names: Iterable[str], workers: int | None = None) -> dict[str, str]:
    """``file_digest`` of each path relative to ``root``, in the order of ``names``, on several threads."""
    listed = list(names)
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(listed, pool.map(lambda name: file_digest(root / name), listed), strict=True))


def sums_text(sums: Mapping[str, str]) -> str:
    """Format hashes by path as lines of ``sha256sum``."""
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())


def read_sums(path: Path, sha256: str | None) -> dict[str, str] | None:
    """Read a list of hashes by path; None if it is missing or its own SHA-256 is not ``sha256``."""
    try:
        text = read_text(path, surrogates=True)
    except DataError:
        return None
    if hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() != sha256:
        return None
    rows = (line.partition("  ") for line in text.splitlines())
    return {name: digest for digest, _, name in rows}


def differences(root: Path, expected: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Compare a tree with expected hashes: paths with a different hash, and missing or unreadable paths."""
    hashes = hash_files(root, expected)
    changed = [name for name, digest in hashes.items() if digest and digest != expected[name]]
    return changed, [name for name, digest in hashes.items() if not digest]
