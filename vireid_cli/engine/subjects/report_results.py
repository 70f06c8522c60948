"""Numbers of a report: results per protocol, paired differences, camera pairs, recipes, environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vireid_cli import reading
from vireid_cli.engine.evaluate.features import evaluate_features
from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation
from vireid_cli.engine.evaluate.summary import paired_difference
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import evaluation_of
from vireid_cli.errors import DataError, UsageError
from vireid_cli.recipe.yaml_reader import LIMIT, parse_source
from vireid_cli.results import schema
from vireid_cli.results.evaluation import StoredEvaluation
from vireid_cli.results.run import DAMAGED, RunFolder
from vireid_cli.results.settings import leaves

CLOSE = 1e-6
"""Largest allowed difference between a recomputed and a stored metric."""


@dataclass(frozen=True, slots=True)
class Results:
    """Results of the runs under one protocol.

    Attributes:
        protocol: Name of the protocol.
        contents: ``metrics.json`` of each run.
        camera_pairs: Rows by camera pair of each run.
        against: Paired differences, first minus other; empty for a single run.
        unpaired: One line per run without a paired difference, with the reason.
    """

    protocol: str
    contents: tuple[schema.EvaluationFile, ...]
    camera_pairs: tuple[list[schema.CameraPairRow], ...]
    against: tuple[schema.Against, ...]
    unpaired: tuple[str, ...]


def results_of(runs: Sequence[RunFolder], session: Session, names: Sequence[str], protocol: str) -> Results:
    """Read the runs' results, and compute values missing in ``metrics.json`` from the stored embeddings.

    Args:
        runs: Runs that were evaluated under ``protocol``.
        session: Its reporter receives the progress.
        names: Name of each run.
        protocol: Name of the evaluation.

    Raises:
        UsageError, DataError: The stored embeddings are missing or damaged, or contradict the metrics.
    """
    contents, pairs, recomputed = [], [], []
    for done, run in enumerate(runs):
        stored = evaluation_of(run, protocol)
        content: Any = stored.content
        evaluation = _recompute(stored) if len(runs) > 1 or "breakdown" not in content else None
        breakdown = content.get("breakdown") or (evaluation.content["breakdown"] if evaluation else {})
        contents.append(content)
        pairs.append(breakdown["camera_pairs"])
        recomputed.append(evaluation)
        session.reporter.advance("results", done + 1, len(runs))
    against, unpaired = [], []
    for other, name in zip(recomputed[1:], names[1:], strict=True):
        first = recomputed[0]
        assert first is not None
        assert other is not None
        try:
            against.append(paired_difference(first.plain, other.plain, name))
        except UsageError as error:
            unpaired.append(f"{name} is not paired with {names[0]}: {error.message}")
    return Results(protocol, tuple(contents), tuple(pairs), tuple(against), tuple(unpaired))


def _recompute(stored: StoredEvaluation) -> Evaluation:
    """Evaluate the stored embeddings per query, and check the stored metrics."""
    content, path = stored.content, stored.folder / schema.EMBEDDINGS
    dataset = content["fingerprint"].get("source")
    if dataset is None:
        raise DataError(
            f"{path.parent / schema.METRICS} does not name the evaluated dataset.",
            f"Evaluate again: {stored.command}",
        )
    evaluation = evaluate_features(path, dataset, EvaluateOptions(breakdown="breakdown" not in content))
    for name, metric in evaluation.content["metrics"].items():
        value = content["metrics"].get(name)
        if value is None or abs(value["mean"] - metric["mean"]) > CLOSE:
            raise DataError(
                f"{name} computed from {path} is {metric['mean']:.4f}; {schema.METRICS} beside it differs.",
                f"Evaluate again: {stored.command}",
            )
    return evaluation


def other_results(runs: Sequence[RunFolder], protocol: str) -> dict[str, list[Any]]:
    """Return the results under all further protocols that the runs have in common, keyed by protocol."""
    stored = [run.evaluations() for run in runs]
    names = [name for name in stored[0] if name != protocol and all(name in own for own in stored)]
    return {name: [own[name] for own in stored] for name in names}


def facts_of(fingerprints: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Format the runs' fingerprints as pairs of key and value, without keys that are empty in all runs.

    Args:
        fingerprints: The fingerprint of each run.
        names: Name of each run; a value that differs between runs has one line per value with the names.
    """
    facts = []
    for key in dict.fromkeys(key for fingerprint in fingerprints for key in fingerprint):
        runs_by_value: dict[str, list[str]] = {}
        for fingerprint, name in zip(fingerprints, names, strict=True):
            value = fingerprint.get(key)
            if key == "shots" and key in fingerprint:
                value = value or "all images"
            empty = value is None or value is False or value == ""  # not ``in``: 0 equals False
            runs_by_value.setdefault("–" if empty else str(value), []).append(name)
        if set(runs_by_value) == {"–"}:
            continue
        lines = list(runs_by_value)
        if len(lines) > 1:
            lines = [f"{' · '.join(runs)}: {value}" for value, runs in runs_by_value.items()]
        facts.append((key.replace("_", " "), "\n".join(lines)))
    return tuple(facts)


def flatten(content: Mapping[str, Any]) -> dict[str, str]:
    """Flatten nested values to texts, keyed by dotted paths; lists are on one line."""
    return {path: f"{value:g}" if isinstance(value, float) else str(value) for path, value in leaves(content)}


def differences(contents: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Return the keys with different values, each with all values; a dash marks missing ones."""
    keys = dict.fromkeys(key for content in contents for key in content)
    rows = {key: [content.get(key, "–") for content in contents] for key in keys}
    return {key: texts for key, texts in rows.items() if len(set(texts)) > 1}


def recipe_of(run: RunFolder) -> tuple[str, dict[str, str]]:
    """Return a run's resolved recipe: its text, and its flattened keys.

    Raises:
        DataError: The file is missing or is not YAML.
    """
    text = reading.read_text(run.recipe_file, limit=LIMIT, hint=DAMAGED)
    try:
        return text, flatten(parse_source(text, str(run.recipe_file)).content)
    except UsageError as error:
        raise DataError(error.message, DAMAGED) from error
