"""Numbers of a report: results of every protocol, paired differences, camera pairs, recipes, environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vireid_cli import reading
from vireid_cli.engine.evaluate.features import evaluate_features
from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation
from vireid_cli.engine.evaluate.summary import compared
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import evaluation_of
from vireid_cli.errors import DataError, UsageError
from vireid_cli.recipe.yaml_lines import LIMIT, parse_source
from vireid_cli.results import schema
from vireid_cli.results.evaluation import StoredEvaluation
from vireid_cli.results.run import DAMAGED, RunFolder
from vireid_cli.results.settings import leaves

CLOSE = 1e-6
"""How far a recomputed figure may be from the stored one."""


@dataclass(frozen=True, slots=True)
class Results:
    """What the runs reached under one protocol.

    Attributes:
        protocol: Its name.
        contents: Each run's ``metrics.json``.
        camera_pairs: Each run's rows by camera pair.
        against: Paired differences first − other; none for a single run.
        unpaired: Why a run is not paired with the first, a line each.
    """

    protocol: str
    contents: tuple[schema.EvaluationFile, ...]
    camera_pairs: tuple[list[schema.CameraPairRow], ...]
    against: tuple[schema.Against, ...]
    unpaired: tuple[str, ...]


def results_of(runs: Sequence[RunFolder], session: Session, names: Sequence[str], protocol: str) -> Results:
    """Read what the runs reached; what ``metrics.json`` lacks is measured from the stored embeddings.

    Args:
        runs: Evaluated under ``protocol``.
        session: Its listener is told of the progress.
        names: What they are called.
        protocol: Of the evaluation.

    Raises:
        UsageError, DataError: The stored embeddings are missing, damaged, or not those of the figures.
    """
    contents, pairs, measured = [], [], []
    for done, run in enumerate(runs):
        whole = evaluation_of(run, protocol)
        content: Any = whole.content
        again = _measured(whole) if len(runs) > 1 or "breakdown" not in content else None
        stored = content.get("breakdown") or (again.content["breakdown"] if again else {})
        contents.append(content)
        pairs.append(stored["camera_pairs"])
        measured.append(again)
        session.reporter.advance("results", done + 1, len(runs))
    against, unpaired = [], []
    for other, name in zip(measured[1:], names[1:], strict=True):
        first = measured[0]
        assert first is not None
        assert other is not None
        try:
            against.append(compared(first.plain, other.plain, name))
        except UsageError as error:
            unpaired.append(f"{name} is not paired with {names[0]}: {error.message}")
    return Results(protocol, tuple(contents), tuple(pairs), tuple(against), tuple(unpaired))


def _measured(stored: StoredEvaluation) -> Evaluation:
    """Measure stored embeddings again, query by query, and check that the stored figures are theirs."""
    content, path = stored.content, stored.folder / schema.EMBEDDINGS
    dataset = content["fingerprint"].get("source")
    if dataset is None:
        raise DataError(
            f"{path.parent / schema.METRICS} does not say whose images were evaluated.",
            f"Evaluate again: {stored.again}",
        )
    found = evaluate_features(path, dataset, EvaluateOptions(breakdown="breakdown" not in content))
    for name, metric in found.content["metrics"].items():
        figure = content["metrics"].get(name)
        if figure is None or abs(figure["mean"] - metric["mean"]) > CLOSE:
            raise DataError(
                f"{path} gives {name} {metric['mean']:.4f}, not what {schema.METRICS} beside it says.",
                f"Evaluate again: {stored.again}",
            )
    return found


def others_of(runs: Sequence[RunFolder], protocol: str) -> dict[str, list[Any]]:
    """Results under every further protocol that all runs have, by its name."""
    done = [run.evaluations() for run in runs]
    names = [name for name in done[0] if name != protocol and all(name in found for found in done)]
    return {name: [found[name] for found in done] for name in names}


def facts_of(fingerprints: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What evaluations say of themselves, in words; what holds for none of them left out.

    Args:
        fingerprints: One a run.
        names: Of the runs; where a value is not the same in all, each is on a line of its own beneath them.
    """
    facts = []
    for key in dict.fromkeys(key for fingerprint in fingerprints for key in fingerprint):
        whose: dict[str, list[str]] = {}
        for fingerprint, name in zip(fingerprints, names, strict=True):
            value = fingerprint.get(key)
            if key == "shots" and key in fingerprint:
                value = value or "all images"
            nothing = value is None or value is False or value == ""  # not ``in``: 0 equals False
            whose.setdefault("–" if nothing else str(value), []).append(name)
        if set(whose) == {"–"}:
            continue
        lines = whose if len(whose) == 1 else [f"{' · '.join(who)}: {value}" for value, who in whose.items()]
        facts.append((key.replace("_", " "), "\n".join(lines)))
    return tuple(facts)


def flat(content: Mapping[str, Any]) -> dict[str, str]:
    """Nested values by their dotted key paths, as text; lists on one line."""
    return {path: f"{value:g}" if isinstance(value, float) else str(value) for path, value in leaves(content)}


def differing(contents: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Keys whose values are not the same everywhere, with each one's value."""
    keys = dict.fromkeys(key for content in contents for key in content)
    rows = {key: [content.get(key, "–") for content in contents] for key in keys}
    return {key: texts for key, texts in rows.items() if len(set(texts)) > 1}


def recipe_of(run: RunFolder) -> tuple[str, dict[str, str]]:
    """A run's resolved recipe: its text, and its keys.

    Raises:
        DataError: It is not there or is not YAML.
    """
    text = reading.read_text(run.recipe_file, limit=LIMIT, hint=DAMAGED)
    try:
        return text, flat(parse_source(text, str(run.recipe_file)).content)
    except UsageError as error:
        raise DataError(error.message, DAMAGED) from error
