"""Joining of all parts to one file of embeddings, and the report of unreadable images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vireid_cli.data.grey import are_close
from vireid_cli.data.image_list import LISTED
from vireid_cli.data.resize import PILLOW
from vireid_cli.embedding_files import write_embeddings
from vireid_cli.embedding_files.origin import EmbeddingOrigin
from vireid_cli.engine.embed_images.parts import PartFacts, PartFolder
from vireid_cli.engine.embed_images.plan import EmbedPlan
from vireid_cli.errors import DataError
from vireid_cli.types import Modality


@dataclass(frozen=True, slots=True)
class Joined:
    """Content of a written file of embeddings.

    Attributes:
        images: Number of embedded images.
        dimension: Number of columns of an embedding.
        skipped: Unreadable images, as (path, reason).
        by_modality: Number of images of each modality.
        decided: Number of images of each modality that their pixels decided.
        close: Images with a channel spread close to the tolerance, as (path, spread).
    """

    images: int
    dimension: int
    skipped: tuple[tuple[str, str], ...]
    by_modality: Mapping[Modality, int]
    decided: Mapping[Modality, int]
    close: tuple[tuple[str, float], ...]


def unreadable(plan: EmbedPlan, facts: Mapping[int, PartFacts]) -> dict[int, str]:
    """Return the reason by row of unreadable images."""
    return {
        plan.rows_of(part)[place]: reason
        for part in sorted(facts)
        for place, reason in sorted(facts[part].bad.items())
    }


def refuse_bad(plan: EmbedPlan, facts: Mapping[int, PartFacts]) -> None:
    """Refuse unreadable images.

    Raises:
        DataError: There are some; the message lists the first twenty.
    """
    bad = unreadable(plan, facts)
    if not bad:
        return
    lines = [f"  {plan.images.rows.paths[row]}: {reason}" for row, reason in list(bad.items())[:LISTED]]
    if len(bad) > LISTED:
        lines.append(f"  and {len(bad) - LISTED:,} more")
    count = sum(len(plan.rows_of(part)) for part in facts)
    listed = "\n".join(lines)
    raise DataError(
        f"{len(bad):,} of {count:,} images in {plan.images.root} can't be read:\n{listed}",
        "Replace them and run this again (finished parts are kept), or skip them with --skip-bad.",
    )


def join(plan: EmbedPlan, folder: PartFolder, out: Path, facts: Mapping[int, PartFacts]) -> Joined:
    """Write the file of embeddings from all parts; one part at a time is in memory.

    Args:
        plan: Plan of the parts.
        folder: Folder of the parts.
        out: Path of the file.
        facts: Facts of every part.

    Raises:
        DataError: No image can be read, a part is damaged, or the file can't be written.
    """
    bad = unreadable(plan, facts)
    kept = np.setdiff1d(np.arange(len(plan.images.rows)), np.fromiter(bad, np.int64, len(bad)))
    if not len(kept):
        refuse_bad(plan, facts)
    codes = np.concatenate([facts[part].codes for part in range(len(plan))])
    spread = np.concatenate([facts[part].spread for part in range(len(plan))])
    undecided = plan.undecided[kept]
    rows = replace(plan.images.rows.take(kept), modalities=codes)
    skipped = tuple((str(plan.images.rows.paths[row]), reason) for row, reason in bad.items())
    origin = EmbeddingOrigin(
        plan.model.fingerprint,
        plan.model.dimension,
        plan.rule,
        plan.tolerance if plan.rule == "auto" else None,
        str(plan.images.root),
        plan.identifier,
        skipped,
        PILLOW,
    )
    write_embeddings(out, origin, rows, folder.features(plan))
    close = np.flatnonzero(undecided & are_close(spread, plan.tolerance))
    return Joined(
        len(kept),
        plan.model.dimension,
        skipped,
        {modality: int((codes == modality.code).sum()) for modality in Modality},
        {modality: int((undecided & (codes == modality.code)).sum()) for modality in Modality},
        tuple((str(rows.paths[row]), float(spread[row])) for row in close.tolist()),
    )
