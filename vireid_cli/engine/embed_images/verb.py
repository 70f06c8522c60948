"""The verb ``embed``: compute the missing parts of a share, and join all parts to a file of embeddings."""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vireid_cli.data.grey import TOLERANCE
from vireid_cli.data.image_list import ListedImages
from vireid_cli.embedding_files import read_origin, refuse_long_text, refuse_other_ending
from vireid_cli.engine.embed_images.decode import DecodedPart, decode_parts
from vireid_cli.engine.embed_images.join import Joined, join, refuse_bad
from vireid_cli.engine.embed_images.parts import PartFacts, PartFolder
from vireid_cli.engine.embed_images.plan import EmbedPlan, with_rule
from vireid_cli.engine.embed_images.share import Share
from vireid_cli.engine.embed_images.threads import compute_threads, default_batch
from vireid_cli.engine.model import Model
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import refuse_unwritable
from vireid_cli.processors import cores
from vireid_cli.types import Modality

PATIENCE = 600.0
"""Seconds without a new part after which the first process of torchrun stops waiting for the others."""

_POLL = (0.2, 2.0)
"""First and longest pause between two looks for new parts, in seconds."""


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """Options of ``embed_images``.

    Attributes:
        modality: Modality of all images; None: that of the list or of the names, otherwise the pixels decide.
        tolerance: Largest channel spread of an infrared image, in grey levels; see ``data.grey``.
        batch: Images per forward pass; None: 16 on the CPU, 64 on a GPU.
        workers: Threads that decode; None: one per processor core.
        share: Share of this process.
        skip_bad: Skip unreadable images instead of raising.
        restart: Compute all parts again.
    """

    modality: Modality | None = None
    tolerance: float = TOLERANCE
    batch: int | None = None
    workers: int | None = None
    share: Share = field(default_factory=Share)
    skip_bad: bool = False
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Embedded:
    """Result of ``embed_images``.

    Attributes:
        out: File of the embeddings.
        images: Number of listed images.
        parts: Number of parts of the list.
        computed: Number of images that this process embedded.
        seconds: Duration of these in seconds.
        joined: Content of the file; None if other shares are not finished, or if the file was complete.
        missing: Number of parts that other shares have not finished.
        complete: Whether the file has the result of all inputs.
    """

    out: Path
    images: int
    parts: int
    computed: int
    seconds: float
    joined: Joined | None
    missing: int
    complete: bool


def embed_images(
    model: Model, images: ListedImages, out: Path, session: Session, options: EmbedOptions | None = None
) -> Embedded:
    """Embed all images of a list into a file.

    Finished parts are kept in ``<out>.parts`` until the file is complete, so a killed process loses at most
    two parts; the same call resumes. The file is equal to the byte for any number of shares and threads that
    decode.

    Args:
        model: Model of the embeddings.
        images: Images of ``data.image_list.list_images``.
        out: ``.npz`` or ``.parquet`` file; replaced when all parts are finished.
        session: Reporter.
        options: Options; None: the defaults.

    Raises:
        UsageError: ``out`` has another extension or is another file, or an option is wrong.
        DataError: Images can't be read (all are listed, finished parts are kept), or a file can't be written.
    """
    options = options or EmbedOptions()
    _check(out, options)
    workers = options.workers or cores()
    decided, rule = with_rule(images, options.modality)
    refuse_long_text(out, decided.rows)
    batch = options.batch or default_batch(model)
    plan = EmbedPlan(decided, decided.stats(workers), model, rule, options.tolerance, batch)
    folder, count = PartFolder.of(out), len(decided.rows)
    if options.restart:
        folder.remove()
    elif _is_complete(out, plan, options.skip_bad):
        folder.remove()
        return Embedded(out, count, len(plan), 0, 0.0, None, 0, True)
    folder.sweep()
    began = time.perf_counter()
    computed, facts = _compute(plan, folder, session, options, workers)
    seconds = time.perf_counter() - began
    if not options.skip_bad:
        refuse_bad(plan, facts)
    if options.share.launched and options.share.index == 0:
        _wait(plan, folder, session)
    alone = options.share.count == 1
    everything = facts if alone else folder.finished(plan, range(len(plan)))
    missing = len(plan) - len(everything)
    joined = None
    if not missing and (options.share.index == 0 or not options.share.launched):
        joined = _join(plan, folder, out, everything, options.skip_bad)
    return Embedded(out, count, len(plan), computed, seconds, joined, missing, not missing)


def _check(out: Path, options: EmbedOptions) -> None:
    """Refuse wrong options, and a result that would replace a file of another kind."""
    refuse_other_ending(out, "--out")
    if options.batch is not None and not 1 <= options.batch <= 4096:
        raise UsageError(f"batch is {options.batch}: expected 1 to 4096 images per forward pass.")
    if not 0.0 <= options.tolerance <= 255.0:
        raise UsageError(f"tolerance is {options.tolerance}: expected 0 to 255 grey levels.")
    if options.restart and options.share.count > 1:
        raise UsageError(
            "--restart would remove the finished parts of other shares.",
            f"Remove {PartFolder.of(out).folder} before you start the shares.",
        )
    refuse_unwritable(out.parent)
    if not out.exists():
        return
    try:
        read_origin(out)
    except DataError as error:
        raise UsageError(
            f"--out {out} exists and is no file of embeddings; it is not replaced.",
            "Give another name, or remove the file.",
        ) from error


def _is_complete(out: Path, plan: EmbedPlan, skip_bad: bool) -> bool:
    """Whether the result exists and has the same inputs as the plan, and no unwanted gap."""
    if not out.exists():
        return False
    origin = read_origin(out)
    return origin.plan == plan.identifier and (skip_bad or not origin.skipped)


def _compute(
    plan: EmbedPlan, folder: PartFolder, session: Session, options: EmbedOptions, workers: int
) -> tuple[int, dict[int, PartFacts]]:
    """Compute the missing parts of the share; returns the number of embedded images and the share's facts."""
    mine = options.share.parts(len(plan))
    facts = folder.finished(plan, mine)
    if not options.skip_bad:  # unreadable images may be readable now
        facts = {part: fact for part, fact in facts.items() if not fact.bad}
    todo = [part for part in mine if part not in facts]
    total = sum(len(plan.rows_of(part)) for part in mine)
    done = total - sum(len(plan.rows_of(part)) for part in todo)
    job, computed = f"embedding{options.share.label}", 0
    if todo and done:
        session.reporter.info(f"resuming: {done:,} of {total:,} images are embedded already")
    session.reporter.advance(job, done, total)
    with compute_threads(plan.model) as pool:
        for decoded in decode_parts(plan, todo, workers):
            fact = PartFacts(decoded.codes, decoded.spread, decoded.bad)
            folder.write(plan, decoded.part, fact, _embed(plan, decoded, pool))
            facts[decoded.part] = fact
            done += len(plan.rows_of(decoded.part))
            computed += len(decoded.codes)
            session.reporter.advance(job, done, total)
    return computed, facts


def _embed(plan: EmbedPlan, decoded: DecodedPart, pool: Executor | None) -> np.ndarray:
    """Embed the images of a part in batches of one modality, (n, D) float32."""
    features = plan.model.embed_mixed(decoded.pixels, decoded.codes, plan.batch, pool)
    if len(bad := np.flatnonzero(~np.isfinite(features).all(axis=1))):
        readable = [row for place, row in enumerate(plan.rows_of(decoded.part)) if place not in decoded.bad]
        raise DataError(
            f"{plan.images.file(readable[bad[0]])}: its embedding has NaN or infinity.",
            "The network diverged, or half precision overflows: try --precision fp32.",
        )
    return features


def _wait(plan: EmbedPlan, folder: PartFolder, session: Session) -> None:
    """Wait until all processes have finished their parts.

    Raises:
        DataError: No new part for ``PATIENCE`` seconds.
    """
    missing, pause, last = list(range(len(plan))), _POLL[0], time.monotonic()
    while missing:
        remaining = [part for part in missing if folder.read(plan, part) is None]
        if len(remaining) < len(missing):
            missing, last = remaining, time.monotonic()
            session.reporter.advance("waiting for other processes", len(plan) - len(missing), len(plan))
            continue
        if time.monotonic() - last > PATIENCE:
            raise DataError(
                f"{folder.folder}: {len(missing)} of {len(plan)} parts are missing, and no new one for "
                f"{PATIENCE:.0f} s; the first is {folder.file(missing[0]).name}.",
                "All machines must write into this folder, on shared storage. Finished parts are kept: "
                "copy them together and run the command again.",
            )
        time.sleep(pause)
        pause = min(2 * pause, _POLL[1])


def _join(
    plan: EmbedPlan, folder: PartFolder, out: Path, facts: dict[int, PartFacts], skip_bad: bool
) -> Joined | None:
    """Join the parts and remove them; None if another share did so meanwhile."""
    if not skip_bad:
        refuse_bad(plan, facts)
    try:
        joined = join(plan, folder, out, facts)
    except DataError:
        if not _is_complete(out, plan, skip_bad):
            raise
        joined = None  # another process joined the parts and removed them meanwhile
    folder.remove()
    return joined
