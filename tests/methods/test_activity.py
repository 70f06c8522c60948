"""Every loss term and every switch of every recipe acts; the table is ``vireid bench activity``."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import pytest
import torch

from vireid_cli.bench import activity
from vireid_cli.bench.activity_values import Activity, Factor, Switch, Term, flatten, nested
from vireid_cli.bench.measure import measure
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.methods.baseline import Baseline
from vireid_cli.recipe.load import shipped

STEPS = int(os.environ.get("VIREID_ACTIVITY_STEPS", "3"))
"""Steps of each training; ``make activity`` sets 30, which take about ten minutes."""
LATER = {
    ("sfcl-prototype", "inference"),
    ("sfcl-light", "ot.grad"),
    ("agw", "gem_form"),
    ("caj", "gem_form"),
    ("caj", "wrt_sq.released_eps"),
}
"""Switches with an effect below 1e-3 after 3 steps.

SFCL's are behind outputs that start at 0. The released forms differ from the others for features near 0 and
for negatives farther than about 14, which the narrow network does not have.
"""


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> activity.Laboratory:
    """Short trainings on the narrow network of these tests: one block a stage."""
    session = Session(Runtime(torch.device("cpu"), "fp32"), Reporter(), tmp_path, tmp_path / "runs")
    lab = activity.prepared_laboratory(session, STEPS)
    lab.thorough = False
    usual = activity.narrow_backbone

    def backbone(method: str) -> activity.BackboneSpec:
        spec = usual(method)
        return dataclasses.replace(spec, width=64) if spec.name == "resnet18" else spec

    monkeypatch.setattr(activity, "narrow_backbone", backbone)
    return lab


def test_every_term_and_switch_of_every_recipe_acts(laboratory: activity.Laboratory) -> None:
    idle: set[tuple[str, str]] = set()
    dead: list[str] = []
    for path in shipped():
        result = laboratory.examine(*activity.with_parent(path))
        assert result.terms, path.stem
        idle |= {(path.stem, name) for name in result.idle}
        dead += [f"{path.stem}: {s.keys}" for s in result.switches if max(s.losses, s.embedding) == 0.0]
        dead += [f"{path.stem}: {t.name}" for t in result.terms if not t.acts]
        dead += [f"{path.stem}: {f}" for f in result.factors if not f.acts]
    assert not dead
    assert idle <= (LATER if STEPS < 30 else set())


def test_the_published_table_has_every_recipe_and_no_idle_row() -> None:
    text = (Path(__file__).parents[2] / "docs" / "activity.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:2] == "| "
    ]
    table = {name: idle for name, _, _, idle in rows[1:]}
    assert table == {path.stem: "none" for path in shipped()}


def test_dead_terms_and_dead_switches_are_detected(
    laboratory: activity.Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = Baseline.losses

    def with_dead_term(self: Baseline, batch: object) -> dict[str, torch.Tensor]:
        terms = losses(self, batch)  # type: ignore[arg-type]
        return {**terms, "dead": 0.0 * next(self.parameters()).sum()}

    monkeypatch.setattr(Baseline, "losses", with_dead_term)
    parent, _ = activity.with_parent("baseline")
    switched = {"embed": "pooled", "label_smoothing": 0.1}
    child = parent.model_copy(
        update={"method": parent.method.model_copy(update={"options": {**parent.method.options, **switched}})}
    )
    laboratory.thorough = True
    result = laboratory.examine(child, parent)
    assert result.idle == ["dead"]
    assert [(switch.keys, switch.acts) for switch in result.switches] == [
        (("label_smoothing",), True),
        (("embed",), True),
    ]
    monkeypatch.setattr("vireid_cli.methods.baseline.identity_loss", lambda logits, labels, _: logits.mean())
    fresh = activity.Laboratory(laboratory.session, STEPS)
    assert "label_smoothing" in fresh.examine(child, parent).idle


def test_limits() -> None:
    terms = (
        Term("still", 1.0, 1.0005, 1e-7),
        Term("carried by the others", 1.0, 1.1, 0.0),
        Term("pulls", 1.0, 1.0, 1e-5),
        Term("not measured, moves", 1.0, 1.1, math.nan),
        Term("not measured, still", 1.0, 1.0005, math.nan),
    )
    switches = (Switch(("a.b",), 2e-3, 0.0), Switch(("c", "d"), 5e-4, 5e-4))
    factors = (Factor("e.f", ("pulls",), ()), Factor("g", (), ()), Factor("h", ("pulls",), ("still",)))
    idle = ["still", "carried by the others", "not measured, still", "g", "h", "c d"]
    assert Activity("r", terms, switches, factors).idle == idle


def test_a_weight_is_the_factor_on_its_terms_alone() -> None:
    before = {"a": 1.0, "b": 0.5, "zero": 0.0, "gone": 1.0}
    assert Factor.of("w", before, {**before, "a": 2.0}) == Factor("w", ("a",), ())
    assert Factor.of("w", before, {**before, "a": 2.0, "b": 1.0}) == Factor("w", ("a", "b"), ())
    assert Factor.of("w", before, {**before, "a": 1.5}) == Factor("w", (), ("a",))
    assert Factor.of("w", before, before) == Factor("w", (), ())
    without = {name: value for name, value in before.items() if name != "gone"}
    assert Factor.of("w", before, {**without, "a": 2.0}) == Factor("w", ("a",), ("gone",))
    assert Factor.of("w", before, {**before, "zero": 0.1}) == Factor("w", (), ("zero",))


def test_options_by_path_and_back() -> None:
    values = {"a": {"b": 1, "c": {"d": (2, 3)}}, "e": None}
    assert flatten(values) == {("a", "b"): 1, ("a", "c", "d"): (2, 3), ("e",): None}
    assert nested(flatten(values)) == values


def test_the_benchmark(tmp_path: Path) -> None:
    session = Session(Runtime(torch.device("cpu"), "fp32"), Reporter(), tmp_path, tmp_path / "runs")
    result = measure("activity", session, recipe=["ablations/sepg-se"], steps=1)
    (row,) = result["recipes"]
    assert row["recipe"] == "sepg-se"
    assert row["switches"]
    assert all(term["gradient"] > 0.0 for term in row["terms"])
    assert not any(tmp_path.iterdir())
