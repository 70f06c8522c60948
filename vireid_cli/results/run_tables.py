"""Results of several runs side by side, as Markdown, LaTeX or CSV; no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vireid_cli.errors import UsageError
from vireid_cli.results.formatting import RENDERED, column_name, percent, protocol_label
from vireid_cli.results.run import RunFolder
from vireid_cli.results.schema import EvaluationFile, Metric
from vireid_cli.results.unlike import marked, warning

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunTable:
    """Results of runs on one dataset under one protocol.

    Attributes:
        protocol: Name of the protocol, with a suffix such as ``-ema``.
        labels: Label of each run, with a mark if the results were measured under unlike conditions.
        runs: Name of each run's folder.
        contents: ``metrics.json`` of each run.
        warning: Sentence about unlike conditions; empty if they are equal.
    """

    protocol: str
    labels: tuple[str, ...]
    runs: tuple[str, ...]
    contents: tuple[EvaluationFile, ...]
    warning: str

    @property
    def dataset(self) -> str:
        """Dataset of the results; empty in files of early versions."""
        return str(self.contents[0]["fingerprint"].get("dataset", ""))

    @property
    def described(self) -> EvaluationFile:
        """A result for the title: of a run on this dataset if there is one, as other rows are marked."""
        own = [content for content in self.contents if not content["fingerprint"].get("cross_dataset")]
        return (own or self.contents)[0]

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics, in order."""
        return list(dict.fromkeys(name for content in self.contents for name in content["metrics"]))

    @property
    def rendered(self) -> bool:
        """Whether a result is on rendered images."""
        return any(content["fingerprint"].get("rendered") for content in self.contents)

    @property
    def notes(self) -> list[str]:
        """Sentences that belong below the table."""
        return [note for note in (self.warning, RENDERED if self.rendered else "") if note]

    def cell(self, row: int, name: str) -> str:
        """Format a metric of a run in percent, with the standard deviation over trials."""
        return mean_and_deviation(self.contents[row]["metrics"].get(name))

    def chance(self, name: str) -> str:
        """Format the chance level of the first run in percent."""
        return percent(self.contents[0]["chance"].get(name))


def mean_and_deviation(metric: Metric | None) -> str:
    """Format a metric in percent, ``26.87 ± 2.41``; – for None."""
    if metric is None:
        return "–"
    deviation = "" if metric["std"] is None else f" ± {percent(metric['std'])}"
    return f"{percent(metric['mean'])}{deviation}"


def tables_of(runs: Sequence[RunFolder], protocol: str | None = None) -> list[RunTable]:
    """Collect the results of runs: one table per dataset and protocol that at least one run has.

    A run on this dataset and one on another dataset, evaluated on this one, are in the same table.

    Args:
        runs: The runs.
        protocol: Name of the evaluation; None: all.

    Raises:
        UsageError: A run has no evaluation, or no run has this one.
        DataError: An evaluation is damaged.
    """
    stored = [run.evaluations() for run in runs]
    for run, evaluations in zip(runs, stored, strict=True):
        if not evaluations:
            raise UsageError(f"{run.folder} has no evaluation.", f"Evaluate it: {run.command('evaluate')}")
    names = list(dict.fromkeys(name for evaluations in stored for name in evaluations))
    if protocol is not None and protocol not in names:
        raise UsageError(f"No run has an evaluation '{protocol}'.", f"Choose: {', '.join(names)}")
    labels = run_labels(runs, stored)
    rows: dict[tuple[str, str], dict[int, EvaluationFile]] = {}
    for name in names:
        for i, evaluations in enumerate(stored):
            if name in evaluations:
                rows.setdefault(_subject(name, evaluations[name]), {})[i] = evaluations[name]
    wanted = {_subject(protocol, one[protocol]) for one in stored if protocol in one} if protocol else rows
    return [_table(key[1], runs, labels, rows[key]) for key in rows if key in wanted]


def _subject(name: str, content: EvaluationFile) -> tuple[str, str]:
    """Dataset and protocol of an evaluation, from its name without the prefix of another dataset."""
    place = name.rfind(content["protocol"])
    return str(content["fingerprint"].get("dataset", "")), name[max(place, 0) :]


def _table(
    protocol: str, runs: Sequence[RunFolder], labels: Sequence[str], rows: Mapping[int, EvaluationFile]
) -> RunTable:
    """Build the table of evaluations, by the number of the run."""
    contents = tuple(rows[i] for i in sorted(rows))
    marks = [content["fingerprint"] for content in contents]
    own = [labels[i] for i in sorted(rows)]
    return RunTable(
        protocol,
        tuple(marked(own, marks)),
        tuple(runs[i].name for i in sorted(rows)),
        contents,
        warning(own, marks),
    )


def run_labels(runs: Sequence[RunFolder], stored: Sequence[Mapping[str, EvaluationFile]]) -> tuple[str, ...]:
    """Shortest unique label of each run: the recipe's name, else with the seed, else the folder's name."""
    marks = [next(iter(evaluations.values()))["fingerprint"] for evaluations in stored]
    recipes = [str(mark.get("recipe") or run.name) for mark, run in zip(marks, runs, strict=True)]
    seeds = [str(mark.get("seed", "")) for mark in marks]
    for labels in (
        recipes,
        [f"{recipe}, seed {seed}" for recipe, seed in zip(recipes, seeds, strict=True)],
        [run.name for run in runs],
    ):
        if len(set(labels)) == len(runs):
            return tuple(labels)
    return tuple(str(run.folder) for run in runs)


def as_markdown(tables: Sequence[RunTable]) -> str:
    """Format as Markdown: metrics in percent, mean ± standard deviation over trials."""
    return "\n\n".join(_markdown(table) for table in tables)


def _title(table: RunTable) -> str:
    """Dataset and protocol of a table."""
    label = protocol_label(table.protocol)
    return f"{table.dataset} · {label}" if table.dataset else label


def _markdown(table: RunTable) -> str:
    names = table.metrics
    lines = [f"**{_title(table)}**", ""]
    rows = [["%", *map(column_name, names)], ["---", *("--:" for _ in names)]]
    for i, label in enumerate(table.labels):
        rows.append([label.replace("|", r"\|").replace("\n", " "), *(table.cell(i, name) for name in names)])
    rows.append(["chance", *map(table.chance, names)])
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)])


def as_latex(tables: Sequence[RunTable]) -> str:
    """Format as LaTeX tabulars for the package booktabs, metrics in percent."""
    return "\n\n".join(_latex(table) for table in tables)


def _latex(table: RunTable) -> str:
    names = table.metrics
    notes = [_title(table), "%, mean ± standard deviation over trials", *table.notes]
    lines = [f"% {' '.join(note.split())}" for note in notes]
    lines += [f"\\begin{{tabular}}{{l{'r' * len(names)}}}", r"\toprule"]
    lines.append(_latex_row(["", *map(column_name, names)]))
    lines.append(r"\midrule")
    for i, label in enumerate(table.labels):
        lines.append(_latex_row([label, *(table.cell(i, name) for name in names)]))
    lines += [_latex_row(["chance", *map(table.chance, names)]), r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines)


def _latex_row(cells: Sequence[str]) -> str:
    escaped = ("".join(_LATEX.get(character, character) for character in cell) for cell in cells)
    return " & ".join(escaped) + r" \\"


def as_csv(tables: Sequence[RunTable]) -> str:
    """Format as CSV: one line per run, protocol and metric; shares in [0, 1] with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = ("run", "recipe", "dataset", "protocol", "precision", "rendered", "queries", "valid_queries")
    writer.writerow((*heads, "gallery", "trials", "metric", "mean", "std", "low", "high", "chance"))
    for table in tables:
        for run, content in zip(table.runs, table.contents, strict=True):
            mark = content["fingerprint"]
            about = [
                *(run, mark.get("recipe", ""), mark.get("dataset", ""), table.protocol),
                *(mark.get("precision", ""), "yes" if mark.get("rendered") else "no"),
                *(content["queries"], content["valid_queries"], content["gallery"], content["trials"]),
            ]
            for name, metric in content["metrics"].items():
                low, high = metric["interval"] or ("", "")
                deviation = "" if metric["std"] is None else metric["std"]
                chance = content["chance"].get(name, "")
                writer.writerow([*about, name, metric["mean"], deviation, low, high, chance])
    return text.getvalue()
