"""Every loss term and every switch of every recipe acts; the table is ``vireid bench activity``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from vireid_cli.bench import activity
from vireid_cli.bench.activity_values import Activity, Switch, Term, flatten, nested
from vireid_cli.bench.measure import measure
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.methods.baseline import Baseline
from vireid_cli.recipe.load import shipped

STEPS = 3
LATER = {
    ("sfcl-prototype", "inference"),
    ("sfcl-light", "ot.grad"),
}
"""Switches behind outputs that start at 0: after 3 steps they have an effect, though not one of 1e-3."""


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
    assert not dead
    assert idle <= LATER


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
    laboratory._outcomes.clear()
    assert "label_smoothing" in laboratory.examine(child, parent).idle


def test_limits() -> None:
    terms = (Term("still", 1.0, 1.0005, 1e-7), Term("moves", 1.0, 1.1, 0.0), Term("pulls", 1.0, 1.0, 1e-5))
    switches = (Switch(("a.b",), 2e-3, 0.0), Switch(("c", "d"), 5e-4, 5e-4))
    assert Activity("r", terms, switches).idle == ["still", "c d"]


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
