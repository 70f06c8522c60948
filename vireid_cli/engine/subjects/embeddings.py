"""Test embeddings of evaluated runs: read, brought to the same images, and their distances counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import evaluate_each, evaluation_of, refuse_other_people
from vireid_cli.errors import UsageError
from vireid_cli.metrics.distances import MOST, PairDistances, pair_distances
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings, Modality


@dataclass(frozen=True, slots=True)
class Embedded:
    """What one evaluation of a run embedded.

    Attributes:
        run: The run.
        protocol: The evaluation's name.
        fingerprint: What it says of itself.
        embeddings: Every image that is a query or in a gallery of some trial, each once.
    """

    run: RunFolder
    protocol: str
    fingerprint: dict[str, Any]
    embeddings: Embeddings

    @property
    def people(self) -> np.ndarray:
        """Persons with images in both modalities, ascending."""
        found = self.embeddings
        sides = [found.pids[found.modalities == modality.code] for modality in Modality]
        return np.intersect1d(*sides)

    def take(self, index: np.ndarray) -> Embedded:
        """The images at ``index``, in that order."""
        return replace(self, embeddings=self.embeddings.take(index))


def embedded(run: RunFolder, protocol: str | None) -> Embedded:
    """Read what an evaluation of a run embedded.

    Args:
        run: The run.
        protocol: Which evaluation; None: the first there is.

    Raises:
        UsageError: Not evaluated yet or not so, a modality is missing, or fewer than two people have both.
        DataError: The file of embeddings is damaged.
    """
    stored = evaluation_of(run, protocol)
    arrays = stored.embeddings()
    columns = (arrays[column] for column in ("features", "pids", "camids", "modalities", "paths"))
    found = Embedded(run, stored.name, stored.content["fingerprint"], Embeddings(*columns))
    _refuse_too_few(found, f"Evaluate it on people seen in both: {stored.again} --dataset …")
    return found


def embedded_alike(runs: Sequence[RunFolder], session: Session, protocol: str | None) -> list[Embedded]:
    """Read what several runs embedded, brought to the images that all of them have, in one order.

    Args:
        runs: One or more.
        session: Its listener is told how many images are left out.
        protocol: Which evaluation of each; None: the first that each has.

    Raises:
        UsageError: As of ``embedded``; runs evaluated on different data, or on too few images in common.
        DataError: A file of embeddings is damaged.
    """
    all_of = [embedded(run, protocol) for run in runs]
    first = all_of[0]
    if len(all_of) == 1:
        return all_of  # as it is: 10,000 embeddings of 20,480 numbers are better not copied
    for other in all_of[1:]:
        if _data(other) != _data(first):
            refuse_other_people(runs)
            again = evaluate_each(runs, "--dataset", str(first.fingerprint.get("source", "…")))
            if not protocol and other.fingerprint.get("source") != first.fingerprint.get("source"):
                again += f"\nThen name it: --protocol {first.protocol}"
            raise UsageError(
                f"{first.run.name} was evaluated on {_said(first)}, {other.run.name} on {_said(other)}: "
                "there is no image that both have.",
                f"Evaluate them on the same images:\n{again}",
            )
    paths = reduce(np.intersect1d, [one.embeddings.paths for one in all_of])
    found = [one.take(_places(one.embeddings.paths, paths)) for one in all_of]
    left_out = max(len(one.embeddings) for one in all_of) - len(paths)
    if left_out:
        session.reporter.warn(
            f"{len(paths)} images are in all {len(runs)} evaluations; up to {left_out} are left out"
        )
        _refuse_too_few(found[0], "Evaluate all runs under one protocol and name it: --protocol …")
    return found


def distances_of(one: Embedded, session: Session, all_pairs: bool = False) -> PairDistances:
    """Count the cosine distances of visible–infrared pairs of an evaluation, in bounded memory and time.

    Args:
        one: The evaluation.
        session: Its listener is told of the progress.
        all_pairs: Count every pair of two people, however long it takes; see ``metrics.distances``.

    >>> from vireid_cli.results import run as runs
    >>> distances_of(embedded(runs.find(), None), Session.choose()).delta  # doctest: +SKIP
    """
    found = one.embeddings
    progress = session.reporter.progress(f"pairs of {one.run.name}")
    most = None if all_pairs else MOST
    return pair_distances(found.features, found.pids, found.modalities, most=most, progress=progress)


def _refuse_too_few(one: Embedded, hint: str) -> None:
    """Refuse images of one modality, or of fewer than two people seen in both."""
    what = f"{one.run.folder}, evaluation {one.protocol}:"
    for modality in Modality:
        if not (one.embeddings.modalities == modality.code).any():
            raise UsageError(f"{what} there is no {modality.value} image.", hint)
    if len(one.people) < 2:
        raise UsageError(
            f"{what} people with images in both modalities: {len(one.people)}, and two are the fewest.", hint
        )


def _data(one: Embedded) -> tuple[Any, Any]:
    """Which dataset, and which images of it."""
    return one.fingerprint.get("source"), one.fingerprint.get("data")


def _said(one: Embedded) -> str:
    return " ".join(str(part) for part in _data(one) if part is not None) or "unknown data"


def _places(paths: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of ``wanted`` stands in ``paths``."""
    order = np.argsort(paths)
    return order[np.searchsorted(paths, wanted, sorter=order)]
