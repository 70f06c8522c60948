"""Published weights, from torch's cache or downloaded; their SHA-256 must be the one in their name."""

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
"""Seconds without an answer after which a download is given up."""


class PublishedFileError(VireidError):
    """A published file that can be neither used from torch's cache nor fetched.

    Attributes:
        damaged: The cache holds a file of that name, with other content than the published one.
    """

    def __init__(self, message: str, hint: str, *, damaged: bool) -> None:
        super().__init__(message, hint)
        self.damaged = damaged


def cached_path(url: str) -> Path:
    """Path of a published file in torch's cache; the file need not exist."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def published_prefix(name: str) -> str | None:
    """The beginning of the SHA-256 that a published file's name carries, as ``0676ba61``; None without."""
    match = re.search(r"-([0-9a-f]{8,64})\.[A-Za-z0-9.]+$", name)
    return match.group(1) if match else None


def load_published(url: str) -> dict[str, Any]:
    """The content of a published file: from torch's cache, or downloaded there first.

    Raises:
        PublishedFileError: It can't be downloaded, or its hash differs from the one in its name.
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
            f"Delete it (it is fetched from {url} again), or put the published file there",
            damaged=True,
        ) from error


def _download(url: str, path: Path, prefix: str) -> None:
    """Fetch a published file; one whose hash differs never gets its final name."""
    import torch

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(FETCH_TIMEOUT)  # torch's own fetch waits for ever
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=False)
    # URLError is an OSError; a wrong hash is a RuntimeError, a broken answer a ValueError
    except (OSError, RuntimeError, ValueError) as error:
        raise PublishedFileError(
            f"{path.name} is not in torch's cache ({path.parent}), and fetching {url} failed "
            f"({str(error) or type(error).__name__}).",
            f"Put the published file at {path}",
            damaged=False,
        ) from error
    finally:
        socket.setdefaulttimeout(before)
