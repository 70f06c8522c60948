"""Published weights, from torch's cache or a download, with the SHA-256 in their name verified."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from vireid_cli.errors import VireidError
from vireid_cli.tensor_files import TensorFileError, load_tensors

FETCH_TIMEOUT = 30.0
"""Timeout of a download in seconds without data."""


class PublishedFileError(VireidError):
    """A published file cannot be used from torch's cache or downloaded.

    Attributes:
        damaged: Whether the cache holds a file with the right name but other content.
    """

    def __init__(self, message: str, hint: str, *, damaged: bool) -> None:
        super().__init__(message, hint)
        self.damaged = damaged


def cached_path(url: str) -> Path:
    """Path of a published file in torch's cache; the file may be missing."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def published_prefix(name: str) -> str | None:
    """Beginning of the SHA-256 in the name of a published file, such as ``0676ba61``; None without."""
    match = re.search(r"-([0-9a-f]{8,64})\.[A-Za-z0-9.]+$", name)
    return match.group(1) if match else None


def load_published(url: str) -> dict[str, Any]:
    """Load a published file from torch's cache; download it first if it is missing.

    Raises:
        PublishedFileError: The download fails, or the hash differs from the one in the name.
    """
    path, prefix = cached_path(url), published_prefix(Path(urlparse(url).path).name)
    if prefix is None:
        raise ValueError(f"{url} carries no hash in its name")
    if not os.path.lexists(path):
        _download(url, path, prefix)
    try:
        return load_tensors(path, sha256_prefix=prefix)
    except TensorFileError as error:
        raise PublishedFileError(
            f"{path} is not usable: {error.reason}.",
            f"Delete it to download {url} again, or copy the published file there",
            damaged=True,
        ) from error


def _download(url: str, path: Path, prefix: str) -> None:
    """Download a published file; a file with another hash never gets its final name."""
    import torch

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(FETCH_TIMEOUT)  # torch's download has no timeout
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=False)
    # URLError is an OSError; a wrong hash is a RuntimeError, a broken response a ValueError
    except (OSError, RuntimeError, ValueError) as error:
        raise PublishedFileError(
            f"{path.name} is not in torch's cache ({path.parent}), and the download of {url} failed "
            f"({str(error) or type(error).__name__}).",
            f"Copy the published file to {path}",
            damaged=False,
        ) from error
    finally:
        socket.setdefaulttimeout(before)
