import hashlib
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.models.resnet import ResNet

from vireid_cli.backbones import weights
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.errors import UsageError, VireidError


@pytest.fixture(scope="module")
def network() -> ResNet:
    torch.manual_seed(3)
    return torchvision.models.resnet18(weights=None)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch cache, and a network that never answers."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path


def test_none_selects_no_weights() -> None:
    assert weights.resolve("resnet18", "none") is None


@pytest.mark.parametrize("form", ["weights.pth", "weights.safetensors"])
def test_a_file_is_read_and_builds_both_stems(network: ResNet, tmp_path: Path, form: str) -> None:
    path = tmp_path / form
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(state, path) if form.endswith("safetensors") else torch.save(state, path)
    loaded = weights.resolve("resnet18", str(path))
    assert loaded is not None
    assert not any(key.startswith("fc.") for key in loaded)
    trunk = TwoStream(BackboneSpec("resnet18", state=loaded))
    for copy in (trunk.stem.visible, trunk.stem.infrared):
        assert torch.equal(copy.get_parameter("conv1.weight"), network.conv1.weight)
    assert torch.equal(trunk.layer4[1].conv2.weight, network.layer4[1].conv2.weight)


def test_counters_of_old_files_may_be_missing(network: ResNet, tmp_path: Path) -> None:
    state = {
        k: v for k, v in network.state_dict().items() if "num_batches" not in k and not k.startswith("fc.")
    }
    torch.save(state, tmp_path / "old.pth")
    loaded = weights.resolve("resnet18", str(tmp_path / "old.pth"))
    TwoStream(BackboneSpec("resnet18", state=loaded))


def test_a_mismatch_is_explained_key_by_key(network: ResNet, tmp_path: Path) -> None:
    state = dict(network.state_dict())
    del state["conv1.weight"]
    state["stem.weight"] = torch.zeros(1)
    state["layer1.0.conv1.weight"] = torch.zeros(2, 2)
    state["bn1.weight"] = torch.zeros(64, dtype=torch.int64)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UsageError) as error:
        weights.resolve("resnet18", str(tmp_path / "other.pth"))
    text = str(error.value)
    assert "1 missing: conv1.weight" in text
    assert "1 unexpected: stem.weight" in text
    assert "layer1.0.conv1.weight: (2, 2) instead of (64, 64, 3, 3)" in text
    assert "bn1.weight: torch.int64 instead of torch.float32" in text


def test_another_network_lists_five_keys_and_the_rest_as_a_number(network: ResNet, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "small.pth")
    with pytest.raises(UsageError, match=r"missing: .*, … and \d+ more"):
        weights.resolve("resnet50", str(tmp_path / "small.pth"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no weights", "can't be read"),
        ({"weights": {}}, "'weights' is a dict"),
        ([1], "holds a list"),
        ({1: torch.zeros(1)}, "named by text"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "wrong.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(UsageError, match=message):
        weights.resolve("resnet18", str(path))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        weights.resolve("resnet18", str(tmp_path / "none.pth"))


def test_imagenet_offline_names_the_file_and_the_remedies(nowhere: Path) -> None:
    with pytest.raises(weights.WeightsUnavailable) as error:
        weights.resolve("resnet18", "imagenet")
    expected = weights.imagenet_file("resnet18")
    assert isinstance(error.value, VireidError)
    assert error.value.exit_code == 1
    text = str(error.value)
    assert str(expected) in text
    assert expected.name in text
    assert str(nowhere) in text
    assert "backbone.weights=PATH" in text
    assert "backbone.weights=none" in text


def publish(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Replace the published file: give torchvision's name another hash."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    named = path.with_name(f"resnet18-{digest[:8]}.pth")
    path.rename(named)
    monkeypatch.setattr(weights, "published_url", lambda name: f"https://nowhere.invalid/models/{named.name}")


def test_imagenet_from_the_cache(network: ResNet, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = weights.imagenet_file("resnet18")
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    publish(monkeypatch, path)
    loaded = weights.resolve("resnet18", "imagenet")
    assert loaded is not None
    assert torch.equal(loaded["conv1.weight"], network.conv1.weight)


def test_a_cached_file_with_other_content_is_refused_by_its_hash(network: ResNet, nowhere: Path) -> None:
    """The file is intact and loadable, but is not the published one."""
    path = weights.imagenet_file("resnet18")
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    with pytest.raises(
        weights.WeightsUnavailable, match=r"SHA-256 begins with [0-9a-f]{8}, the published"
    ) as e:
        weights.resolve("resnet18", "imagenet")
    assert e.value.damaged
    assert "Delete it" in e.value.hint
    with pytest.raises(UsageError, match="SHA-256"):
        weights.resolve("resnet18", str(path))  # the same name given as a path
    path = path.rename(path.with_name("mine.pth"))
    assert weights.resolve("resnet18", str(path)) is not None


def test_a_download_with_other_content_is_never_stored(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
        raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "00")')

    monkeypatch.setattr(torch.hub, "download_url_to_file", wrong)
    with pytest.raises(weights.WeightsUnavailable, match="invalid hash value") as error:
        weights.resolve("resnet18", "imagenet")
    assert not error.value.damaged


def test_a_broken_cached_file_is_reported_without_traceback(nowhere: Path) -> None:
    path = weights.imagenet_file("resnet18")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a download")
    with pytest.raises(weights.WeightsUnavailable) as error:
        weights.resolve("resnet18", "imagenet")
    assert error.value.damaged
