"""The ranking sheet of a search: images of queries and matches, read and written as one HTML file."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from vireid_cli.data.decode import BadImage, Decoder, load
from vireid_cli.figures.matches import MatchCard, SheetRow, matches_page
from vireid_cli.files import write_text
from vireid_cli.modality import Modality
from vireid_cli.processors import cores
from vireid_cli.search.queries import Queries
from vireid_cli.search.records import Match

HEIGHT = 176
"""Height of the images in pixels."""

QUALITY = 80


def write_sheet(
    out: Path, title: str, subtitle: str, queries: Queries, results: Sequence[Sequence[Match]]
) -> Path:
    """Write the sheet; images that can't be read are left out.

    Args:
        out: HTML file.
        title, subtitle: Texts at the top.
        queries: The queries.
        results: Matches of each query.

    Raises:
        DataError: The file can't be written.
    """
    images = dict(zip(queries.images, queries.modalities, strict=True))
    images |= {m.record.file: m.record.modality for matches in results for m in matches}
    with ThreadPoolExecutor(cores()) as pool:
        files = dict(zip(images, pool.map(_thumbnail, images, images.values()), strict=True))
    rows = [
        SheetRow(
            files[queries.images[place]],
            _query_lines(queries, place),
            tuple(_card(match, queries.pids[place], files[match.record.file]) for match in matches),
        )
        for place, matches in enumerate(results)
    ]
    return write_text(out, matches_page(title, subtitle, rows))


def _thumbnail(path: Path, modality: str) -> bytes | None:
    """Decode an image and encode it as WebP, at most ``HEIGHT`` high; None if it can't be read."""
    try:
        image = Image.fromarray(Decoder().decode(load(Path(os.path.normpath(path))), Modality(modality)))
    except BadImage:
        return None
    image.thumbnail((2 * HEIGHT, HEIGHT))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()


def _query_lines(queries: Queries, place: int) -> tuple[str, ...]:
    """Lines below a query."""
    facts = _facts(queries.pids[place], queries.camids[place])
    return tuple(filter(None, (queries.modalities[place], facts, queries.names[place])))


def _card(match: Match, pid: int | None, image: bytes | None) -> MatchCard:
    """Card of a match; ``pid`` is the query's person."""
    record = match.record
    known = pid is not None and record.pid is not None
    distance = "" if match.distance is None else f" (re-ranked {match.distance:.3f})"
    lines = (
        record.modality,
        _facts(record.pid, record.camid),
        (record.time or "")[:19].replace("T", " "),
        record.path,
    )
    return MatchCard(
        image,
        f"{match.score:.4f}{distance}",
        tuple(filter(None, lines)),
        record.pid == pid if known else None,
    )


def _facts(pid: int | None, camid: int | None) -> str:
    """Person and camera, as far as known."""
    pairs = (("pid", pid), ("cam", camid))
    return " · ".join(f"{name} {value}" for name, value in pairs if value is not None)
