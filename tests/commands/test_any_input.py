"""Whatever a file or an option holds: the command ends with 0, 1 or 2 and a message, never a traceback."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Command

FUZZ = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TOKENS = [
    "data", "train", "epochs", "seed", "method", "name", "options", "extends", "size", ": ", ":", "\n", "  ",
    "- ", ", ", "[", "]", "{", "}", "&a ", "*a", "<<: *a", "!!int ", "!x ", "010", "1:30", "1_000", ".5",
    "1e3", "0x_", "yes", "off", "~", "2001-99-99", "'", '"', "\\x1b", "\\ud800", "|", ">", "%YAML 1.2\n",
    "---", "...", "? ", "#", "\t", "é", "𝔘", "\x00", "\x1b", "\x85", "\u2028", "\ufeff", "1" * 5000, "[" * 60,
]  # fmt: skip
YAML_TEXT = st.lists(st.sampled_from(TOKENS), max_size=30).map("".join)
KEYS = st.sampled_from(
    ["name", "paper", "train.epochs", "train.optimizer.lr", "data.size", "method", "method.options.margin",
     "data.augment.erase.area", "backbone.weights", "train", "data.sampler", "a.b.c", "", "train..seed"]
)  # fmt: skip
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=6,
)
METRIC = {"mean": 0.5, "std": None, "interval": [0.4, 0.6]}
METRICS = {
    "version": 2, "protocol": "all-single", "fingerprint": {"dataset": "SYSU-MM01", "data": "ab"},
    "trials": 1, "queries": 3, "valid_queries": 2, "gallery": 4, "metrics": {"rank1": METRIC},
    "interval": "95 %", "cmc": [0.5], "per_trial": {"rank1": [0.5]}, "chance": {"rank1": 0.1},
    "variants": [], "reported": [],
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without data, so that nothing is ever trained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIREID_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("VIREID_RUNS", str(tmp_path / "runs"))
    return tmp_path


def ends_well(vireid: Command, *words: object) -> None:
    result = vireid(*words)
    assert result.code in (0, 1, 2)
    assert result.code == 0 or "error" in result.err.lower()
    assert "\x1b" not in result.err
    assert "object at 0x" not in result.err


@settings(FUZZ, max_examples=25)
@given(content=YAML_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60))
def test_any_recipe(content: bytes, vireid: Command, here: Path) -> None:
    (here / "r.yaml").write_bytes(content)
    ends_well(vireid, "train", "--recipe", "r.yaml")


@settings(FUZZ, max_examples=40)
@given(key=KEYS, value=YAML_TEXT | st.text(max_size=10))
def test_any_setting(key: str, value: str, vireid: Command, here: Path) -> None:
    (here / "r.yaml").write_text("paper: none\n")
    value = os.fsdecode(value.encode("utf-8", "surrogatepass")).replace("\0", "")  # as an argument arrives
    ends_well(vireid, "train", "--recipe", "r.yaml", "--set", f"{key}={value}")


@settings(FUZZ, max_examples=25)
@given(content=YAML_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_study(content: bytes, vireid: Command, here: Path) -> None:
    (here / "s.yaml").write_bytes(b"rows: [{label: a, recipe: agw}]\n" + content)
    ends_well(vireid, "compare", "s.yaml")


@settings(FUZZ, max_examples=40)
@given(
    key=st.sampled_from([*METRICS, "breakdown", "against", "models"]), value=JSON_VALUES, cut=st.booleans()
)
def test_any_metrics(key: str, value: Any, cut: bool, vireid: Command, here: Path) -> None:
    folder = here / "runs" / "a" / "evaluation" / "all-single"
    folder.mkdir(parents=True, exist_ok=True)
    (here / "runs" / "a" / "recipe.yaml").write_text("paper: none\n")
    text = json.dumps(METRICS | {key: value})
    (folder / "metrics.json").write_text(text[: len(text) // 2] if cut else text)
    ends_well(vireid, "results", "a")


ARRAYS = st.builds(
    lambda shape, kind, value: np.full(shape, value).astype(kind),
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from(["f4", "f8", "i8", "u1", "U3", "S2", "c8", "?", ">i4", "f2"]),
    st.integers(-1, 2),
)
NAMES = ["q_feat", "g_feat", "distance", "q_pids", "g_pids", "q_camids", "g_camids", "features", "queries"]


@settings(FUZZ, max_examples=40)
@given(
    arrays=st.dictionaries(st.sampled_from(NAMES), ARRAYS),
    changes=st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, 255)), max_size=2),
)
def test_any_arrays(
    arrays: dict[str, np.ndarray], changes: list[tuple[int, int]], vireid: Command, here: Path
) -> None:
    whole = {"distance": np.ones((2, 2))} | {
        f"{s}_{n}": np.arange(2) for s in "qg" for n in ("pids", "camids")
    }
    np.savez(here / "x.npz", **(whole | arrays))
    content = bytearray((here / "x.npz").read_bytes())
    for position, value in changes:
        content[position % len(content)] = value
    (here / "x.npz").write_bytes(content)
    ends_well(vireid, "evaluate-features", "x.npz", "--dataset", "sysu")
