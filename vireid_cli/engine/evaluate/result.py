"""Options and result of an evaluation, and the evaluation of one plan from embeddings (without torch)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.data.protocols.request import Request
from vireid_cli.engine.evaluate import artifacts
from vireid_cli.engine.evaluate.scoring import EmbeddedRows, Flip, Outcome, Rerank, measure_plan
from vireid_cli.engine.evaluate.summary import summarize
from vireid_cli.errors import UsageError
from vireid_cli.results import schema
from vireid_cli.results.formatting import column_name, percent


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Options of an evaluation.

    Attributes:
        request: Settings of the dataset's protocol.
        dataset: Dataset of the test images; None: the run's own. Another dataset of the same protocol family
            (a run of ``sysu`` on ``occ-sysu``) has its own result folders.
        allow_overlap: Allow training identities in the test set; the result is marked.
        rerank: Re-ranking methods, each reported in addition to the plain result.
        flip: Test-time averaging with mirror images, reported in addition to the plain result.
        breakdown: Compute tables by camera pair and identity, and the worst queries.
        ema: Evaluate the average of the weights (``train.ema``); its results have folders of their own.
    """

    request: Request = field(default_factory=Request)
    dataset: str | None = None
    allow_overlap: bool = False
    rerank: tuple[Rerank, ...] = ()
    flip: Flip = "off"
    breakdown: bool = False
    ema: bool = False


@dataclass(frozen=True, slots=True)
class RankedImages:
    """Images of an evaluation: N images, and the rows of each trial's queries and gallery.

    Attributes:
        pids, camids: (N,) person and camera of each image.
        paths: (N,) path of each image; None: not known.
        queries, galleries: Rows of each trial, in order.
    """

    pids: np.ndarray
    camids: np.ndarray
    paths: np.ndarray | None
    queries: tuple[np.ndarray, ...]
    galleries: tuple[np.ndarray, ...]

    @staticmethod
    def of(plan: EvaluationPlan, measured: EmbeddedRows, known: bool = True) -> RankedImages:
        """Return the images of a plan; ``known``: whether the paths of ``measured`` are those of files."""
        images = measured.embeddings
        queries, galleries = (
            tuple(np.searchsorted(measured.rows, rows) for rows in side)
            for side in (plan.queries, plan.galleries)
        )
        known = known and bool((images.paths != "").all())
        return RankedImages(images.pids, images.camids, images.paths if known else None, queries, galleries)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of one protocol.

    Attributes:
        content: Content of ``metrics.json``.
        plain: The plain result per query.
        folder: Folder of the result; None: not written.
        variants: Re-ranked and flip-averaged results per query.
        images: Images of the trials; None: means over several models.
    """

    content: schema.EvaluationFile
    plain: Outcome
    folder: Path | None = None
    variants: tuple[Outcome, ...] = ()
    images: RankedImages | None = None

    @property
    def protocol(self) -> str:
        """Name of the protocol, such as ``all-single-seeded``."""
        return self.content["protocol"]

    @property
    def rank1(self) -> float:
        """Rank-1 in [0, 1], mean over the trials."""
        return self.metric("rank1")

    @property
    def mAP(self) -> float:
        """Mean average precision in [0, 1], mean over the trials."""
        return self.metric("mAP")

    @property
    def mINP(self) -> float:
        """Mean inverse negative penalty in [0, 1], mean over the trials."""
        return self.metric("mINP")

    def metric(self, name: str) -> float:
        """Return a metric in [0, 1] by its key in ``metrics.json``, mean over the trials.

        Raises:
            UsageError: The protocol has no such metric; the error lists its metrics.
        """
        metrics = self.content["metrics"]
        if name not in metrics:
            raise UsageError(f"{self.protocol} has no metric '{name}'.", f"Choose: {', '.join(metrics)}")
        return metrics[name]["mean"]

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of the content of ``metrics.json``."""
        return copy.deepcopy(dict(self.content))

    def to_markdown(self) -> str:
        """Return a Markdown table with one row per result and one column per metric, in percent."""
        return markdown_table([self])


class Evaluations(list[Evaluation]):
    """Results of one or several protocols in order; a list with the metrics of its only element."""

    @property
    def only(self) -> Evaluation:
        """The only result.

        Raises:
            UsageError: The list has several results; the error names their protocols.
        """
        if len(self) != 1:
            names = ", ".join(evaluation.protocol for evaluation in self)
            raise UsageError(
                f"{len(self)} protocols were evaluated: {names}.", "Index the result, or choose one."
            )
        return self[0]

    @property
    def rank1(self) -> float:
        """Rank-1 in [0, 1] of the only protocol."""
        return self.only.rank1

    @property
    def mAP(self) -> float:
        """Mean average precision in [0, 1] of the only protocol."""
        return self.only.mAP

    @property
    def mINP(self) -> float:
        """Mean inverse negative penalty in [0, 1] of the only protocol."""
        return self.only.mINP

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return copies of the contents of ``metrics.json``, keyed by protocol."""
        return {evaluation.protocol: evaluation.to_dict() for evaluation in self}

    def to_markdown(self) -> str:
        """Return a Markdown table with one row per result and one column per metric, in percent."""
        return markdown_table(self)


def markdown_table(evaluations: Sequence[Evaluation]) -> str:
    """Format plain results, their variants and the chance level as a Markdown table, in percent.

    Pipes and line breaks in names are escaped. A dash marks metrics that a protocol does not have.
    """
    names = list(dict.fromkeys(name for e in evaluations for name in e.content["metrics"]))
    lines = [["protocol", *map(column_name, names)], ["---", *("--:" for _ in names)]]
    for evaluation in evaluations:
        content = evaluation.content
        rows = [(evaluation.protocol, content["metrics"])]
        rows += [(f"{evaluation.protocol}, {v['name']}", v["metrics"]) for v in content["variants"]]
        for label, metrics in rows:
            cells = (percent(metrics[name]["mean"] if name in metrics else None) for name in names)
            lines.append([label.replace("|", r"\|").replace("\n", " "), *cells])
        lines.append([f"{evaluation.protocol}, chance", *(percent(content["chance"].get(n)) for n in names)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def evaluate_protocol(
    plan: EvaluationPlan,
    sides: Sequence[EmbeddedRows],
    options: EvaluateOptions,
    fingerprint: dict[str, Any],
    reported: list[dict[str, Any]],
    folder: Path | None,
    key: str = "",
    *,
    paths: bool = True,
) -> Evaluation:
    """Evaluate one plan, plain and with each requested variant, and write the result.

    Args:
        plan: The protocol.
        sides: Plain embeddings, then those with test-time augmentation.
        options: Re-ranking methods and breakdown.
        fingerprint: Fingerprint of the evaluation.
        reported: Comparable metrics of the paper.
        folder: Folder of the result; None: do not write.
        key: Hash of everything on which the embeddings depend besides the images; see ``kept``.
        paths: Whether the embeddings have paths of image files.
    """
    reranks: tuple[Rerank, ...] = ("none", *options.rerank)
    outcomes = [measure_plan(plan, side, rerank) for side in sides for rerank in reranks]
    content = summarize(plan.name, fingerprint, outcomes, reported)
    if key:
        content["embedding_key"] = key
    content["chance_cmc"] = artifacts.chance_of(plan, sides[0])
    if options.breakdown:
        content["breakdown"] = artifacts.breakdown(plan, sides[0], outcomes[0])
    if folder is not None:
        artifacts.write(folder, plan, sides[0], outcomes[0], content)
    images = RankedImages.of(plan, sides[0], paths)
    return Evaluation(content, outcomes[0], folder, tuple(outcomes[1:]), images)
