"""Run a benchmark and print its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vireid_cli.errors import Interrupted

if TYPE_CHECKING:
    from vireid_cli.engine.session import Session


def run_benchmark(subject: str, session: Session, **options: Any) -> dict[str, Any]:
    """Run the benchmark ``subject``; ``options`` are those of its function in ``vireid_cli.bench``.

    Raises:
        Interrupted: Ctrl-C or SIGTERM stopped the benchmark.
        VireidError: An option, recipe or dataset is invalid.
    """
    from vireid_cli.bench.measure import measure

    try:
        return measure(subject, session, **options)
    except KeyboardInterrupt as error:
        raise Interrupted("stopped: benchmarks keep no partial results.", "Run the command again.") from error


def print_benchmark(subject: str, session: Session, json: bool, **options: Any) -> dict[str, Any]:
    """Run a benchmark, print one value per line, or JSON, and return the result.

    Raises:
        VireidError: As ``run_benchmark``.
    """
    from vireid_cli.commands import console

    result = run_benchmark(subject, session, **options)
    if json:
        console.print_json(result)
    else:
        console.print_lines(value_lines(result))
    return result


def value_lines(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Format values one per line; a nested value follows the names of its parents.

    >>> value_lines({"cpu": {"ms": 0.5}, "runs": [{"n": 1}, {"n": 2}]})
    ['cpu ms: 0.500', 'runs 1 n: 1', 'runs 2 n: 2']
    """
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += value_lines(value, f"{prefix}{key} ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for number, part in enumerate(value, 1):
                lines += value_lines(part, f"{prefix}{key} {number} ")
        else:
            lines.append(f"{prefix}{key}: {_rounded(value) if isinstance(value, float) else value}")
    return lines


def _rounded(value: float) -> str:
    """Format with three decimals, or with two significant digits below 0.01."""
    return f"{value:,.3f}" if value == 0.0 or abs(value) >= 0.01 else f"{value:.2g}"


def print_activity(result: Mapping[str, Any], *, markdown: bool) -> None:
    """Print one line or Markdown table row per recipe: loss terms, switches, and those without effect."""
    from vireid_cli.commands import console

    if markdown:
        console.print_line("| recipe | terms | switches | idle |")
        console.print_line("|---|---|---|---|")
    for row in result["recipes"]:
        terms = [_term(term) for term in row["terms"]]
        switches = [_switch(switch) for switch in row["switches"]]
        idle = ", ".join(row["idle"]) or "none"
        if markdown:
            line = f"| {row['recipe']} | {', '.join(terms)} | {', '.join(switches)} | {idle} |"
        else:
            line = f"{row['recipe']}: idle: {idle}; {', '.join([*terms, *switches])}"
        console.print_line(line)


def _term(term: Mapping[str, Any]) -> str:
    """Format as ``ort 0.09→0.08 (3e-03)``: values, and gradient norm relative to the largest term's."""
    return f"{term['name']} {term['start']:.3g}→{term['end']:.3g} ({term['gradient']:.0e})"


def _switch(switch: Mapping[str, Any]) -> str:
    """Format as ``ort.weight: 3e-02/9e-03``: relative differences of the losses and of the embedding."""
    return f"{' '.join(switch['keys'])}: {switch['losses']:.0e}/{switch['embedding']:.0e}"
