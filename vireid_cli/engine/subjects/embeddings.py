"""Test embeddings of evaluated runs, restricted to common images, and their pair distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import check_same_people, evaluation_commands, evaluation_of
from vireid_cli.errors import UsageError
from vireid_cli.metrics.distances import MOST, PairDistances, pair_distances
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings, Modality


@dataclass(frozen=True, slots=True)
class RunEmbeddings:
    """Embeddings of one evaluation of a run.

    Attributes:
        run: The run.
        protocol: Name of the evaluation.
        fingerprint: Fingerprint of the evaluation.
        embeddings: All queries and gallery images of all trials, each once.
    """

    run: RunFolder
    protocol: str
    fingerprint: dict[str, Any]
    embeddings: Embeddings

    @property
    def people(self) -> np.ndarray:
        """Persons with images in both modalities, ascending."""
        own = self.embeddings
        sides = [own.pids[own.modalities == modality.code] for modality in Modality]
        return np.intersect1d(*sides)

    def take(self, index: np.ndarray) -> RunEmbeddings:
        """Select the images at ``index``, in this order."""
        return replace(self, embeddings=self.embeddings.take(index))


def read_embeddings(run: RunFolder, protocol: str | None) -> RunEmbeddings:
    """Read the embeddings of one evaluation of a run.

    Args:
        run: The run.
        protocol: Name of the evaluation; None: the first one.

    Raises:
        UsageError: The run has no such evaluation, a modality is missing, or fewer than two people have
            images of both.
        DataError: The file of embeddings is damaged.
    """
    stored = evaluation_of(run, protocol)
    arrays = stored.embeddings()
    columns = (arrays[column] for column in ("features", "pids", "camids", "modalities", "paths"))
    result = RunEmbeddings(run, stored.name, stored.content["fingerprint"], Embeddings(*columns))
    _check_people(result, f"Evaluate it on people with images of both: {stored.command} --dataset …")
    return result


def common_embeddings(
    runs: Sequence[RunFolder], session: Session, protocol: str | None
) -> list[RunEmbeddings]:
    """Read the embeddings of several runs, restricted to their common images in the same order.

    Args:
        runs: One run or more.
        session: Its reporter receives a warning about skipped images.
        protocol: Name of the evaluation; None: the first one of each run.

    Raises:
        UsageError: As for ``read_embeddings``; or the runs were evaluated on different data, or have too few
            common images.
        DataError: A file of embeddings is damaged.
    """
    results = [read_embeddings(run, protocol) for run in runs]
    first = results[0]
    if len(results) == 1:
        return results  # without a copy, which can have 10,000 × 20,480 numbers
    for other in results[1:]:
        if _data(other) != _data(first):
            check_same_people(runs)
            commands = evaluation_commands(runs, "--dataset", str(first.fingerprint.get("source", "…")))
            if not protocol and other.fingerprint.get("source") != first.fingerprint.get("source"):
                commands += f"\nThen name this evaluation: --protocol {first.protocol}"
            raise UsageError(
                f"{first.run.name} was evaluated on {_data_name(first)}, {other.run.name} on "
                f"{_data_name(other)}: they have no common image.",
                f"Evaluate them on the same images:\n{commands}",
            )
    paths = reduce(np.intersect1d, [result.embeddings.paths for result in results])
    common = [result.take(_indices(result.embeddings.paths, paths)) for result in results]
    skipped = max(len(result.embeddings) for result in results) - len(paths)
    if skipped:
        session.reporter.warn(
            f"{counted(len(paths), 'image')} in all {len(runs)} evaluations; the figure skips "
            f"up to {skipped} others"
        )
        _check_people(common[0], "Evaluate all runs under one protocol and name it: --protocol …")
    return common


def distances_of(one: RunEmbeddings, session: Session, all_pairs: bool = False) -> PairDistances:
    """Compute the cosine distances of visible–infrared pairs of an evaluation, in bounded memory and time.

    Args:
        one: The embeddings of the evaluation.
        session: Its reporter receives the progress.
        all_pairs: Include all pairs of different people, without a time limit; see ``metrics.distances``.

    >>> from vireid_cli.results import run as runs
    >>> distances_of(read_embeddings(runs.find(), None), Session.choose()).delta  # doctest: +SKIP
    """
    own = one.embeddings
    progress = session.reporter.progress(f"pairs of {one.run.name}")
    most = None if all_pairs else MOST
    return pair_distances(own.features, own.pids, own.modalities, most=most, progress=progress)


def _check_people(one: RunEmbeddings, hint: str) -> None:
    """Raise ``UsageError`` if a modality is missing, or fewer than two people have images of both."""
    subject = f"{one.run.folder}, evaluation {one.protocol}"
    for modality in Modality:
        if not (one.embeddings.modalities == modality.code).any():
            raise UsageError(f"{subject}, has no {modality.value} image.", hint)
    if len(one.people) < 2:
        raise UsageError(
            f"{subject}: 2 people with images of both modalities are needed, it has {len(one.people)}.", hint
        )


def _data(one: RunEmbeddings) -> tuple[Any, Any]:
    """Return dataset and fingerprint of the evaluated images."""
    return one.fingerprint.get("source"), one.fingerprint.get("data")


def _data_name(one: RunEmbeddings) -> str:
    return " ".join(str(part) for part in _data(one) if part is not None) or "unknown data"


def _indices(paths: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Return the index in ``paths`` of each of ``selected``."""
    order = np.argsort(paths)
    return order[np.searchsorted(paths, selected, sorter=order)]
