"""Paired differences between the results of two evaluations of the same images."""

from __future__ import annotations

from collections.abc import Sequence

from vireid_cli.engine.evaluate.result import Evaluation
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
        content["against"] = paired_difference(evaluation.plain, by_name[protocol].plain, name)
        if evaluation.folder is not None:
            amend_evaluation(evaluation.folder, content)
        results.append(evaluation)
    return results
