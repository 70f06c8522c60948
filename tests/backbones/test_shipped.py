"""The shipped trunk: part of the package, checked by its hash, refused with a reason if it does not fit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from vireid_cli.backbones import shipped, weights
from vireid_cli.backbones.residual import torchvision_network
from vireid_cli.backbones.shipped import Trunk
from vireid_cli.errors import DataError, UsageError
from vireid_cli.tensor_files import read_metadata
from vireid_cli.tensor_files.sealed import SEAL, save_sealed


def write_trunk(folder: Path, width: int = 8) -> Trunk:
    """Random weights in the form of a shipped file."""
    torch.manual_seed(4)
    state = torchvision_network("resnet18", width).state_dict()
    half = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in state.items()
        if not key.startswith("fc.")
    }
    metadata = {
        weights.IDENTITIES_KEY: "0123456789abcdef 00",
        weights.TRAINED_ON: "rendered people, 7 images",
    }
    path = save_sealed(folder / "trunk.safetensors", half, metadata)
    return Trunk("resnet18", width, path.name, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def trunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trunk:
    """A shipped trunk of width 8 with random weights."""
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    made = write_trunk(tmp_path)
    monkeypatch.setattr(shipped, "TRUNKS", (made,))
    return made


def test_the_shipped_trunk_is_loaded_in_single_precision(trunk: Trunk) -> None:
    state = weights.resolve("resnet18", "rendered", 8)
    assert state is not None
    torch.manual_seed(4)
    expected = torchvision_network("resnet18", 8).state_dict()
    assert state["conv1.weight"].dtype == torch.float32
    torch.testing.assert_close(state["conv1.weight"], expected["conv1.weight"], rtol=1e-3, atol=1e-7)


def test_its_identities_and_its_record_are_read(trunk: Trunk) -> None:
    path = weights.weights_file("resnet18", "rendered", 8)
    assert path == trunk.path
    assert weights.training_identities(trunk.path) == ("0123456789abcdef", "00")
    text = weights.describe_shipped("resnet18", 8)
    assert trunk.sha256[:12] in text
    assert "pre-trained on 2 identities of rendered people, 7 images" in text


def test_a_file_of_the_name_is_not_taken_for_it(
    trunk: Trunk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rendered").write_bytes(b"a file of the user")
    assert weights.resolve("resnet18", "rendered", 8) is not None
    with pytest.raises(UsageError, match="can't be read"):
        weights.resolve("resnet18", "./rendered", 8)


@pytest.mark.parametrize(("name", "width"), [("resnet18", 64), ("resnet50", 8)])
def test_another_network_is_told_what_is_shipped(trunk: Trunk, name: str, width: int) -> None:
    with pytest.raises(UsageError) as error:
        weights.resolve(name, "rendered", width)
    text = str(error.value)
    assert f"{name} of width {width}" in text
    assert "shipped: resnet18 of width 8" in text
    assert f"vireid train --recipe pretrain.yaml --set backbone.name={name}" in text


def test_another_network_is_refused_with_the_recipe(trunk: Trunk, tiny_recipe: Path) -> None:
    from vireid_cli.engine.network import load_recipe

    settings = ("backbone.weights=rendered", "backbone.width=16")
    with pytest.raises(UsageError, match=r"backbone\.weights: no rendered weights of resnet18 of width 16"):
        load_recipe(str(tiny_recipe), settings)
    assert load_recipe(str(tiny_recipe), (settings[0], "backbone.width=8")).backbone.weights == "rendered"


@pytest.mark.parametrize("damage", ["bit", "missing", "short"])
def test_damage_is_named(trunk: Trunk, damage: str) -> None:
    content = bytearray(trunk.path.read_bytes())
    trunk.path.unlink()
    if damage != "missing":
        content[-3] ^= 4
        trunk.path.write_bytes(content if damage == "bit" else content[:100])
    with pytest.raises(DataError) as error:
        weights.resolve("resnet18", "rendered", 8)
    assert "Install vireid again" in str(error.value)


@pytest.mark.parametrize("trunk", shipped.TRUNKS, ids=lambda trunk: trunk.file)
def test_every_shipped_file_is_whole_small_and_recorded(trunk: Trunk) -> None:
    assert hashlib.sha256(trunk.path.read_bytes()).hexdigest() == trunk.sha256
    assert trunk.path.stat().st_size <= 12e6
    assert weights.resolve(trunk.network, "rendered", trunk.width)
    record = read_metadata(trunk.path)
    for key in ("network", "width", "steps", "commit", "licence", weights.TRAINED_ON, SEAL):
        assert record[key], key
    assert len(weights.training_identities(trunk.path)) >= 5_000
