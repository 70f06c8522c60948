"""Content of ``metrics.json``: means, standard deviations, intervals and paired differences."""

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

INTERVAL = f"{LEVEL:.0%} percentile bootstrap, people resampled ({REPLICATES} draws), galleries fixed"
TEST = (
    f"{LEVEL:.0%} paired bootstrap over people ({REPLICATES} draws); p: two-sided sign-flip permutation test "
    f"over people ({REPLICATES} flips)"
)
RATES_INTERVAL = "; verification rates: threshold recomputed in each draw"
RATES_TEST = "; verification rates: flips at the measured thresholds"


def summarize(
    name: str, fingerprint: dict[str, Any], outcomes: Sequence[Outcome], reported: list[dict[str, Any]]
) -> schema.EvaluationFile:
    """Summarize a protocol's results as the content of ``metrics.json``.

    Args:
        name: Name of the protocol.
        fingerprint: Fingerprint of the evaluation.
        outcomes: The plain result, then each variant.
        reported: Comparable metrics of the paper.
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
    """Compute mean, standard deviation over trials, and interval of each metric."""
    bounds = intervals(outcome.people())
    if outcome.pairs:
        names = [far_name(far) for far in outcome.fars]
        rates = rate_intervals(outcome.pairs, outcome.fars, reading=outcome.far_reading)
        bounds |= dict(zip(names, rates, strict=True))
    metrics = {}
    for name, values in outcome.per_trial().items():
        std = float(np.std(values, ddof=1)) if len(values) > 1 else None
        low_high = list(bounds[name]) if name in bounds else None
        metrics[name] = schema.Metric(mean=float(np.mean(values)), std=std, interval=low_high)
    return metrics


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


def paired_difference(one: Outcome, other: Outcome, name: str) -> schema.Against:
    """Compute the paired difference of two plain results under one protocol, ``one`` minus ``other``.

    Raises:
        UsageError: The results have different queries.
    """
    differences = paired(one.people(), other.people())
    if one.pairs:
        rates = paired_rates(one.pairs, other.pairs, one.fars, reading=one.far_reading)
        differences |= {far_name(far): rate for far, rate in zip(one.fars, rates, strict=True)}
    theirs = metrics_of(other)
    return schema.Against(
        name=name,
        test=TEST + (RATES_TEST if one.pairs else ""),
        metrics={key: theirs[key] for key in differences},
        differences={
            key: schema.Difference(mean=d.mean, interval=[d.low, d.high], p_value=d.p_value)
            for key, d in differences.items()
        },
    )


def pool(outcomes: Sequence[Outcome]) -> Outcome:
    """Combine the trials of several models into one result.

    Raises:
        UsageError: The models have different numbers of trials.
    """
    if len({len(outcome.trials) for outcome in outcomes}) != 1:
        raise UsageError("Runs with different numbers of trials can't be averaged.")
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
    """Summarize several models as the content of ``metrics.json``.

    Means and standard deviations are over models, also those of the variants.

    Args:
        name: Name of the protocol.
        contents: Content of ``metrics.json`` of each model.
        outcomes: For each model the plain result, then each variant.
    """
    pools = [pool(variant) for variant in zip(*outcomes, strict=True)]
    mean = summarize(name, merge_fingerprints([c["fingerprint"] for c in contents]), pools, [])
    _spread_over_models(mean, contents)
    for number, variant in enumerate(mean["variants"]):
        _spread_over_models(variant, [content["variants"][number] for content in contents])
    mean["models"] = len(contents)
    if all(content["reported"] == contents[0]["reported"] for content in contents):
        mean["reported"] = contents[0]["reported"]
    return mean


def _spread_over_models(
    mean: schema.EvaluationFile | schema.Variant,
    contents: Sequence[schema.EvaluationFile] | Sequence[schema.Variant],
) -> None:
    """Replace the values per trial by the models' means, and set their standard deviations."""
    names = contents[0]["metrics"]
    mean["per_trial"] = {key: [c["metrics"][key]["mean"] for c in contents] for key in names}
    for key, values in mean["per_trial"].items():
        mean["metrics"][key]["std"] = float(np.std(values, ddof=1))


def merge_fingerprints(fingerprints: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Merge fingerprints; a key with several values gets all of them, separated by commas.

    A key that some fingerprints lack has the value ``none`` there.

    >>> merge_fingerprints([{"seed": 0}, {"seed": 1, "overlap": "5 people"}])
    {'seed': '0, 1', 'overlap': 'none, 5 people'}
    """
    merged = {}
    for key in dict.fromkeys(key for fingerprint in fingerprints for key in fingerprint):
        given = [fingerprint.get(key, "none") for fingerprint in fingerprints]
        values = list(dict.fromkeys(map(str, given)))
        merged[key] = given[0] if len(values) == 1 else ", ".join(values)
    return merged
