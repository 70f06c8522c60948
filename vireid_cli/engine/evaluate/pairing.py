"""Paired differences between the results of two evaluations of the same images."""

from __future__ import annotations

from collections.abc import Sequence

from vireid_cli.engine.evaluate.result import Evaluation
from vireid_cli.engine.evaluate.summary import compared
from vireid_cli.errors import UsageError
from vireid_cli.results.evaluation import amend_evaluation


def evaluate_against(ours: Sequence[Evaluation], theirs: Sequence[Evaluation], name: str) -> list[Evaluation]:
    """Add the paired difference from another run to each result, in its file as well.

    Args:
        ours: Results.
        theirs: The other's results under the same protocols.
        name: Of the other.

    Raises:
        UsageError: Protocols that the other lacks, or results that are not of the same images.
    """
    by_name = {evaluation.content["protocol"]: evaluation for evaluation in theirs}
    found = []
    for evaluation in ours:
        protocol = evaluation.content["protocol"]
        if protocol not in by_name:
            raise UsageError(f"{name} has no result under {protocol}: there is nothing to compare with.")
        content = evaluation.content
        data = [str(c["fingerprint"].get("data")) for c in (content, by_name[protocol].content)]
        if data[0] != data[1]:
            raise UsageError(
                f"{name} was evaluated on other images (data {data[1]}, not {data[0]}): nothing is paired.",
                "Evaluate both on one dataset: --dataset NAME",
            )
        content["against"] = compared(evaluation.plain, by_name[protocol].plain, name)
        if evaluation.folder is not None:
            amend_evaluation(evaluation.folder, content)
        found.append(evaluation)
    return found
