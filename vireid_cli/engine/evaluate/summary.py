"""What was measured, as the content of ``metrics.json``: means, spreads, intervals, differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vireid_cli.engine.evaluate.scoring import FLIPS, RERANKS, Outcome, far_name
from vireid_cli.errors import UsageError
from vireid_cli.metrics.bootstrap import LEVEL, REPLICATES, intervals, paired
from vireid_cli.metrics.outcome import Trials
from vireid_cli.metrics.verification_intervals import paired_rates, rate_intervals
from vireid_cli.results import schema

INTERVAL = f"{LEVEL:.0%} percentile bootstrap, people drawn again ({REPLICATES} draws), galleries fixed"
TEST = (
    f"{LEVEL:.0%} paired bootstrap over people ({REPLICATES} draws); p: two-sided sign-flip permutation test "
    f"over people ({REPLICATES} flips)"
)
RATES_INTERVAL = "; verification rates: threshold set anew in each draw"
RATES_TEST = "; verification rates: flips at the thresholds as measured"


def summarize(
    name: str, fingerprint: dict[str, Any], outcomes: Sequence[Outcome], reported: list[dict[str, Any]]
) -> schema.EvaluationFile:
    """Put a protocol's results together.

    Args:
        name: Of the protocol.
        fingerprint: What was measured.
        outcomes: The plain one first, then each variant.
        reported: The paper's metrics where they are comparable.
    """
    plain = outcomes[0]
    first, chance = plain.trials.results[0], plain.trials.chance()
    return schema.EvaluationFile(
        version=schema.VERSION,
        protocol=name,
        fingerprint=fingerprint,
        trials=len(plain.trials),
        queries=first.queries,
        valid_queries=first.valid,
        gallery=first.gallery,
        metrics=metrics_of(plain),
        interval=INTERVAL + (RATES_INTERVAL if plain.pairs else ""),
        cmc=plain.trials.cmc().tolist(),
        per_trial=plain.per_trial(),
        chance={"rank1": chance.rank1, "mAP": chance.mAP},
        variants=[_variant(outcome) for outcome in outcomes[1:]],
        reported=reported,
    )


def metrics_of(outcome: Outcome) -> dict[str, schema.Metric]:
    """Mean and standard deviation over trials of each metric, and its interval."""
    bounds = intervals(outcome.people())
    if outcome.pairs:
        names = [far_name(far) for far in outcome.fars]
        rates = rate_intervals(outcome.pairs, outcome.fars, reading=outcome.far_reading)
        bounds |= dict(zip(names, rates, strict=True))
    found = {}
    for name, values in outcome.per_trial().items():
        std = float(np.std(values, ddof=1)) if len(values) > 1 else None
        low_high = list(bounds[name]) if name in bounds else None
        found[name] = schema.Metric(mean=float(np.mean(values)), std=std, interval=low_high)
    return found


def _variant(outcome: Outcome) -> schema.Variant:
    parts = [
        f"flip {outcome.flip}" if outcome.flip != "off" else "",
        outcome.rerank if outcome.rerank != "none" else "",
    ]
    return schema.Variant(
        name=" + ".join(part for part in parts if part),
        rerank=RERANKS[outcome.rerank],
        test_time_augmentation=FLIPS[outcome.flip],
        metrics=metrics_of(outcome),
        per_trial=outcome.per_trial(),
    )


def compared(one: Outcome, other: Outcome, name: str) -> schema.Against:
    """The paired difference of two plain results under one protocol.

    Raises:
        UsageError: They are not of the same queries.
    """
    found = paired(one.people(), other.people())
    if one.pairs:
        rates = paired_rates(one.pairs, other.pairs, one.fars, reading=one.far_reading)
        found |= {far_name(far): rate for far, rate in zip(one.fars, rates, strict=True)}
    theirs = metrics_of(other)
    return schema.Against(
        name=name,
        test=TEST + (RATES_TEST if one.pairs else ""),
        metrics={key: theirs[key] for key in found},
        differences={
            key: schema.Difference(mean=d.mean, interval=[d.low, d.high], p_value=d.p_value)
            for key, d in found.items()
        },
    )


def pooled(outcomes: Sequence[Outcome]) -> Outcome:
    """Several models as one result: each model's mean over its trials counts once.

    Raises:
        UsageError: The models have different numbers of trials.
    """
    if len({len(outcome.trials) for outcome in outcomes}) != 1:
        raise UsageError("runs with different numbers of trials can't be averaged.")
    return Outcome(
        Trials(tuple(result for outcome in outcomes for result in outcome.trials)),
        tuple(pids for outcome in outcomes for pids in outcome.pids),
        outcomes[0].fars,
        tuple(pair for outcome in outcomes for pair in outcome.pairs),
        outcomes[0].rerank,
        outcomes[0].flip,
        outcomes[0].far_reading,
    )


def over_models(
    name: str, contents: Sequence[schema.EvaluationFile], outcomes: Sequence[Sequence[Outcome]]
) -> schema.EvaluationFile:
    """``metrics.json`` of several models: mean and standard deviation are over models, variants' as well.

    Args:
        name: Of the protocol.
        contents: Each model's own.
        outcomes: Of each model the plain result, then each variant.
    """
    ways = [pooled(way) for way in zip(*outcomes, strict=True)]
    together = summarize(name, common([c["fingerprint"] for c in contents]), ways, [])
    _spread_over_models(together, contents)
    for number, variant in enumerate(together["variants"]):
        _spread_over_models(variant, [content["variants"][number] for content in contents])
    together["models"] = len(contents)
    if all(content["reported"] == contents[0]["reported"] for content in contents):
        together["reported"] = contents[0]["reported"]
    return together


def _spread_over_models(
    together: schema.EvaluationFile | schema.Variant,
    contents: Sequence[schema.EvaluationFile] | Sequence[schema.Variant],
) -> None:
    """Put the models' means in place of the trials' metrics."""
    names = contents[0]["metrics"]
    together["per_trial"] = {key: [c["metrics"][key]["mean"] for c in contents] for key in names}
    for key, values in together["per_trial"].items():
        together["metrics"][key]["std"] = float(np.std(values, ddof=1))


def common(fingerprints: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all fingerprints say; where they differ, each value once."""
    found = {}
    for key in fingerprints[0]:
        values = list(dict.fromkeys(str(f.get(key, "")) for f in fingerprints))
        found[key] = fingerprints[0][key] if len(values) == 1 else ", ".join(values)
    return found
