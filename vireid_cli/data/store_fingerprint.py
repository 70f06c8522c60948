"""Fingerprint of a prepared store: the hash of everything that its pixels depend on."""

from __future__ import annotations

import hashlib

import numpy as np

from vireid_cli.data.decode import Decoder
from vireid_cli.data.provenance import Provenance
from vireid_cli.types import RecordTable

FORMAT = 1
"""Version of the store's files."""

COLUMNS = ("paths", "pids", "camids", "modalities", "splits")
"""Arrays of ``records.npz``."""

DEFAULT_DECODER = Decoder()


def fingerprint(
    dataset: str,
    provenance: Provenance,
    records: RecordTable,
    sizes: np.ndarray,
    decoder: Decoder = DEFAULT_DECODER,
) -> str:
    """SHA-256 of the records, file sizes, decoder and marks of the tree, in hexadecimal.

    Args:
        dataset: Name of the source.
        provenance: Origin of the images; includes the content hash of a rendered or occluded tree.
        records: N records.
        sizes: (N,) file sizes in bytes.
        decoder: Decoder of the image files.
    """
    digest = hashlib.sha256(
        f"vireid store {FORMAT}\n{dataset}\n{provenance.kind}\n{provenance.content}\n".encode()
    )
    if provenance.occlusion:
        digest.update(f"{provenance.occlusion_content}\n".encode())
    for choice in decoder.differences:
        digest.update(f"{choice}\n".encode())
    columns = zip(*(getattr(records, name).tolist() for name in COLUMNS), sizes.tolist(), strict=True)
    for row in columns:
        digest.update("\t".join(map(str, row)).encode() + b"\n")
    return digest.hexdigest()
