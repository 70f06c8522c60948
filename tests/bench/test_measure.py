"""Benchmarks run the named work and record the machine; no time is asserted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vireid_cli.bench.measure import measure
from vireid_cli.bench.spectra import complex_edit, half_spectrum_edit
from vireid_cli.bench.timing import interleaved
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.runtime import Runtime
from vireid_cli.errors import UsageError

CPU = Runtime(torch.device("cpu"), "fp32")
SMALL = [
    "data.size=[64, 32]",
    "data.sampler.identities=2",
    "data.sampler.images=2",
    "backbone.width=16",
    "backbone.weights=none",
]


@pytest.fixture
def engine(sysu_tree: Path) -> Engine:
    return Engine.choose("cpu", "fp32", data_dir=sysu_tree)


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
        ("gallery", {"images": 400, "queries": 40, "width": 8}, {"peak_memory_gib", "metric_over_product"}),
        (
            "scan",
            {"batch": 2, "length": 9, "channels": 4, "state": 2, "repeats": 1},
            {"loop_over_ours", "associative_over_ours"},
        ),
        (
            "transport",
            {"shape": "3x7x5", "epsilon": 0.05, "iterations": 6, "repeats": 1},
            {"ours_seconds", "finite_at_0.01"},
        ),
        ("prepare", {"images": 8, "size": (32, 16), "repeats": 1}, {"decode_over_pil", "prepare_over_pil"}),
        ("sampler", {"repeats": 1}, {"index_over_lists", "plan_over_loop"}),
        ("difficulty", {"dataset": "sysu"}, {"pixels_rank1", "hog_rank1", "histograms_rank1"}),
    ],
)
def test_every_subject(engine: Engine, subject: str, options: dict[str, object], keys: set[str]) -> None:
    result = measure(subject, engine.session, **options)
    assert keys <= result.keys()
    assert all(result[key] > 0 for key in keys)
    assert {"device", "torch", "vireid", "commit", "threads"} <= result.keys()


def test_both_evaluators_agree(engine: Engine) -> None:
    result = measure("evaluate", engine.session, shapes=["90x70", "60x60"], repeats=1)
    for shape in ("90x70", "60x60"):
        assert result[shape]["times_faster"] > 0
        assert max(v for k, v in result[shape].items() if k.endswith("_difference")) < 1e-12


def test_both_evaluators_of_embeddings_agree(engine: Engine) -> None:
    result = measure("evaluate", engine.session, shapes=["90x70"], repeats=1, width=300)
    assert result["90x70"]["times_faster"] > 0
    assert max(v for k, v in result["90x70"].items() if k.endswith("_difference")) < 1e-6


def test_a_streamed_gallery_has_queries_with_matches(engine: Engine) -> None:
    result = measure("gallery", engine.session, images=800, queries=60, width=8)
    assert [row["gallery"] for row in result["sizes"]] == [200, 400, 800]
    assert all(row["valid_queries"] > 50 for row in result["sizes"])
    assert result["sizes"][0]["mAP"] > result["sizes"][2]["mAP"]


def test_spectra_over_shapes_and_layouts(engine: Engine) -> None:
    result = measure("spectra", engine.session, shapes=["4x6x5", "2x8x8"], images=2, repeats=1)
    for row in ("4x6x5 contiguous", "4x6x5 channels_last", "2x8x8 contiguous"):
        assert min(result[row][key] for key in ("field_seconds", "products", "rfft2")) > 0


def test_forms_of_the_edit_that_is_timed_agree() -> None:
    maps = torch.randn(2, 3, 9, 6, dtype=torch.float64)
    expected = complex_edit(maps)
    for kind in ("matmul", "fft"):
        torch.testing.assert_close(half_spectrum_edit(kind)(maps), expected)


def test_steps_count_added_operations(engine: Engine) -> None:
    settings = [*SMALL, "backbone.name=resnet18", "backbone.weights=none"]
    names = ["fdnm-global-local", "fdnm-agp", "fdnm"]
    result = measure("steps", engine.session, recipes=names, settings=settings, repeats=1)
    assert 0 < result["fdnm-agp"]["more_macs"] < result["fdnm"]["more_macs"]
    assert "time_over_macs" not in result["fdnm-global-local"]


def test_steps_of_a_method_with_a_second_view(engine: Engine) -> None:
    settings = [*SMALL, "backbone.name=resnet18", "backbone.weights=none"]
    result = measure("steps", engine.session, recipes=["agw", "caj"], settings=settings, repeats=1)
    assert result["caj"]["more_macs"] > 0


def test_unknown_subject(engine: Engine) -> None:
    with pytest.raises(UsageError, match="unknown benchmark"):
        measure("speed", engine.session)


def test_scan_is_compared_with_the_same_computation(engine: Engine) -> None:
    scan = measure("scan", engine.session, batch=2, length=12, channels=4, state=3, repeats=1)
    assert max(scan["largest_error"], scan["largest_error_of_loop"]) < 1e-5


def test_transport_is_compared_with_the_same_computation(engine: Engine) -> None:
    pytest.importorskip("ot")
    plan = measure("transport", engine.session, shape="2x8x8", epsilon=0.05, iterations=20, repeats=1)
    assert plan["largest_mass_elsewhere"] < 1e-4
    assert plan["pot_batched_over_ours"] > 0
    assert plan["pot_per_pair_over_ours"] > 0
