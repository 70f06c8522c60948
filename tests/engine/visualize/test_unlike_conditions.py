"""Every figure of several runs marks those that were measured or trained in unlike precision."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vireid_cli.engine.engine import Engine
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.visualize import names, run_limits
from vireid_cli.results.run import RunFolder

COMPUTED = {"attention"}
"""Figures whose values are all computed by one call, in one precision."""

FIGURES = [name for name in names() if run_limits(name)[1] > 1 and name not in COMPUTED]


def words(path: Path) -> str:
    """The text of a figure: SVG and HTML have it as text."""
    return html.unescape(re.sub(r"<[^>]+>", "\n", path.read_text(encoding="utf-8")))


@pytest.fixture
def engine(sysu_tree: Path, tmp_path: Path) -> Engine:
    return Engine.choose("cpu", "fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")


@pytest.mark.parametrize("figure", FIGURES)
def test_unlike_precision_is_marked(
    figure: str, engine: Engine, evaluated: Callable[..., RunFolder], tmp_path: Path
) -> None:
    runs = [evaluated("one"), evaluated("two", precision="bf16")]
    ending = "html" if figure == "report" else "svg"
    labels: tuple[str, ...] = () if figure == "report" else ("A", "B")
    options: dict[str, Any] = {"queries": 2} if figure == "ranking" else {}
    path = engine.visualize(figure, runs, output=Output(tmp_path / f"a.{ending}", labels=labels), **options)
    first, second = labels or ("one", "two")
    text = words(path)
    assert f"{first} (fp32)" in text
    assert f"{second} (bf16)" in text
    if figure == "report":
        return  # the others need no second drawing of this length
    same = [runs[0], evaluated("three")]
    path = engine.visualize(figure, same, output=Output(tmp_path / f"b.{ending}", labels=labels), **options)
    assert "(fp32)" not in words(path)


def test_a_sweep_counts_its_unlike_points(
    engine: Engine, evaluated: Callable[..., RunFolder], tmp_path: Path
) -> None:
    for number, precision in enumerate(("fp32", "bf16", "bf16")):
        run = evaluated(f"run-{number}", precision=precision)
        text = run.recipe_file.read_text().replace("lr: ", f"lr: {number + 1}0.0 # ", 1)
        run.recipe_file.write_text(text)
    options: dict[str, Any] = {"key": "optimizer.lr", "metrics": ("rank1",)}
    path = engine.visualize("sweep", tmp_path / "runs", output=Output(tmp_path / "s.svg"), **options)
    assert "unlike conditions (fp32: 1 result, bf16: 2 results)" in words(path)
