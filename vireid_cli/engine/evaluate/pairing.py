"""Paired differences between the results of two evaluations of the same images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.engine.evaluate.result import Evaluation, RankedImages
from vireid_cli.engine.evaluate.summary import paired_difference
from vireid_cli.errors import UsageError
from vireid_cli.results.evaluation import amend_evaluation


def evaluate_against(ours: Sequence[Evaluation], theirs: Sequence[Evaluation], name: str) -> list[Evaluation]:
    """Add the paired difference from another run to each result and to its file.

    Args:
        ours: Results of one run.
        theirs: Results of the other run under the same protocols.
        name: Name of the other run.

    Raises:
        UsageError: The other run lacks a protocol, or the results are of different images.
    """
    by_name = {evaluation.content["protocol"]: evaluation for evaluation in theirs}
    results = []
    for evaluation in ours:
        protocol = evaluation.content["protocol"]
        if protocol not in by_name:
            raise UsageError(f"{name} has no result under {protocol} to compare with.")
        content = evaluation.content
        data = [str(c["fingerprint"].get("data")) for c in (content, by_name[protocol].content)]
        if data[0] != data[1]:
            raise UsageError(
                f"{name} was evaluated on other images (data {data[1]}, not {data[0]}): no query is paired.",
                "Evaluate both on the same dataset: --dataset NAME",
            )
        _refuse_other_images(evaluation, by_name[protocol], name)
        content["against"] = paired_difference(evaluation.plain, by_name[protocol].plain, name)
        if evaluation.folder is not None:
            amend_evaluation(evaluation.folder, content)
        results.append(evaluation)
    return results


def _refuse_other_images(ours: Evaluation, theirs: Evaluation, name: str) -> None:
    """Check that two evaluations rank the same galleries for the same queries in each trial.

    Images are compared by path, person and camera in any order if both evaluations have paths; otherwise by
    person and camera, in order.

    Args:
        ours: One evaluation.
        theirs: The other.
        name: Name of the other one, for errors.

    Raises:
        UsageError: A trial has other queries or another gallery.
    """
    one, other = ours.images, theirs.images
    if one is None or other is None:
        return
    protocol = ours.content["protocol"]
    if len(one.queries) != len(other.queries):
        raise UsageError(
            f"{name} has {counted(len(other.queries), 'trial')} under {protocol}, not {len(one.queries)}.",
            "Evaluate both with the same galleries.",
        )
    known = one.paths is not None and other.paths is not None
    for side, noun in (("queries", "other queries"), ("galleries", "another gallery")):
        trials = zip(getattr(one, side), getattr(other, side), strict=True)
        for trial, (rows, their_rows) in enumerate(trials, 1):
            if difference := _difference(one, rows, other, their_rows, known):
                raise UsageError(
                    f"{name} has {noun} under {protocol}, trial {trial}: {difference}.",
                    "Compare results of the same images"
                    + ("." if known else ", in the same order in both files."),
                )


def _difference(
    one: RankedImages, rows: np.ndarray, other: RankedImages, other_rows: np.ndarray, known: bool
) -> str:
    """Describe the first difference between some images of two evaluations; empty if they are equal."""
    if len(rows) != len(other_rows):
        return f"{counted(len(other_rows), 'image')}, not {len(rows)}"
    names = ["person", "camera"]
    columns = [[one.pids[rows], one.camids[rows]], [other.pids[other_rows], other.camids[other_rows]]]
    if known:
        assert one.paths is not None
        assert other.paths is not None
        names = ["path", *names]
        columns = [[one.paths[rows], *columns[0]], [other.paths[other_rows], *columns[1]]]
        orders = [np.argsort(side[0], kind="stable") for side in columns]
        columns = [[column[order] for column in side] for side, order in zip(columns, orders, strict=True)]
    for name, ours, theirs in zip(names, *columns, strict=True):
        differing = np.flatnonzero(ours != theirs)
        if len(differing):
            at = differing[0]
            place = f"image {at}" if name == "path" or not known else str(columns[0][0][at])
            return f"{name} {theirs[at]}, not {ours[at]} ({place})"
    return ""
