"""One evaluation: its options, its result, and the evaluation of one plan from embeddings (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.data.protocols.request import Request
from vireid_cli.engine.evaluate import artifacts
from vireid_cli.engine.evaluate.scoring import Flip, Measured, Outcome, Rerank, measure_plan
from vireid_cli.engine.evaluate.summary import summarize
from vireid_cli.results import schema


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What to measure.

    Attributes:
        request: Settings of the dataset's protocol.
        dataset: Whose test images; None: of the run's own dataset. Another one of the same protocol family
            (a run of ``sysu`` on ``occ-sysu``) has result folders of its own.
        allow_overlap: Evaluate although test identities were trained on; said beside the number.
        rerank: Each gives rows of its own beside the plain result.
        flip: Test-time averaging with mirror images; rows of its own beside the plain result.
        breakdown: Tables by camera pair and identity, and the worst queries.
    """

    request: Request = field(default_factory=Request)
    dataset: str | None = None
    allow_overlap: bool = False
    rerank: tuple[Rerank, ...] = ()
    flip: Flip = "off"
    breakdown: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One protocol's result.

    Attributes:
        content: What ``metrics.json`` holds.
        plain: The plain result, query by query.
        folder: Where it lies; None: nowhere.
        variants: Re-ranked and flip-averaged results, query by query.
    """

    content: schema.EvaluationFile
    plain: Outcome
    folder: Path | None = None
    variants: tuple[Outcome, ...] = ()


def evaluate_plan(
    plan: EvaluationPlan,
    sides: Sequence[Measured],
    options: EvaluateOptions,
    fingerprint: dict[str, Any],
    reported: list[dict[str, Any]],
    folder: Path | None,
) -> Evaluation:
    """Measure one plan in every way that is asked for, and write it down.

    Args:
        plan: The protocol.
        sides: Plain embeddings, and those with test-time augmentation.
        options: Which ways.
        fingerprint: What was measured.
        reported: The paper's figures where comparable.
        folder: Where to; None: nowhere.
    """
    ways: tuple[Rerank, ...] = ("none", *options.rerank)
    outcomes = [measure_plan(plan, side, rerank) for side in sides for rerank in ways]
    content = summarize(plan.name, fingerprint, outcomes, reported)
    content["chance_cmc"] = artifacts.chance_of(plan, sides[0])
    if options.breakdown:
        content["breakdown"] = artifacts.breakdown(plan, sides[0], outcomes[0])
    if folder is not None:
        artifacts.write(folder, plan, sides[0], outcomes[0], content)
    return Evaluation(content, outcomes[0], folder, tuple(outcomes[1:]))
