"""Benchmarks measure what they say and carry the machine; no time is asserted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vireid_cli.engine.bench import interleaved
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.runtime import Runtime
from vireid_cli.errors import UsageError

CPU = Runtime(torch.device("cpu"), "fp32")
SMALL = ["data.size=[64, 32]", "data.sampler.identities=2", "data.sampler.images=2", "backbone.width=16"]


@pytest.fixture
def engine(sysu_tree: Path) -> Engine:
    return Engine(CPU, data_dir=sysu_tree)


def test_interleaved_runs_in_turn_after_a_warm_up() -> None:
    calls: list[str] = []
    seconds = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3, CPU)
    assert calls == ["a", "b"] * 4
    assert set(seconds) == {"a", "b"}


@pytest.mark.parametrize(
    ("subject", "options", "keys"),
    [
        ("train", {"recipe": "quickstart", "settings": SMALL, "repeats": 1}, {"images_per_second"}),
        ("extract", {"recipe": "quickstart", "settings": SMALL, "repeats": 1}, {"folded_over_plain"}),
        ("augment", {"images": 6, "size": (64, 32), "repeats": 1}, {"uint8_over_pil", "to_float_over_pil"}),
        ("evaluate", {"shape": "60x40", "repeats": 1}, {"times_faster"}),
        ("difficulty", {"dataset": "sysu"}, {"pixels_rank1", "hog_rank1", "histograms_rank1"}),
    ],
)
def test_every_subject(engine: Engine, subject: str, options: dict[str, object], keys: set[str]) -> None:
    found = engine.bench(subject, **options)
    assert keys <= found.keys()
    assert all(found[key] > 0 for key in keys)
    assert {"device", "torch", "vireid", "commit", "threads"} <= found.keys()


def test_both_evaluators_agree(engine: Engine) -> None:
    assert engine.bench("evaluate", shape="90x70", repeats=1)["mAP_difference"] < 1e-12


def test_unknown_subject(engine: Engine) -> None:
    with pytest.raises(UsageError, match="no benchmark"):
        engine.bench("speed")
