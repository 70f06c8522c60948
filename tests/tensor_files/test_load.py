"""Every file either returns its tensors or is refused with a one-line reason; no code runs."""

from __future__ import annotations

import collections
import os
import pickle
import struct
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vireid_cli.tensor_files import TensorFileError, load_safetensors, load_tensors, read_metadata

sys.path.insert(0, str(Path(__file__).parent))
from tests.tensor_files.payloads import FORMS, Form, Payload

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}


def refusal(path: Path, **options: object) -> TensorFileError:
    with pytest.raises(TensorFileError) as caught:
        load_tensors(path, **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in caught.value.message
    for unsafe in ("can still be loaded", "weights_only", "safe_globals", "file an issue", "\x1b"):
        assert unsafe not in text
    return caught.value


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.bin"])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_the_content_decides_not_the_name(tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / name
    if form == "safetensors":
        save_file(STATE, path, metadata={"identities": "x y"})
        assert read_metadata(path) == {"identities": "x y"}
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=form == "zip")
        assert read_metadata(path) == {}
    back = load_tensors(path)
    assert back.keys() == STATE.keys()
    assert all(torch.equal(back[key], STATE[key]) and back[key].dtype == STATE[key].dtype for key in STATE)


@pytest.mark.parametrize("numpy_scalars", [False, True])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("form", FORMS)
def test_a_payload_is_refused_and_never_runs(
    tmp_path: Path, form: Form, name: str, numpy_scalars: bool
) -> None:
    marker, path = tmp_path / "executed", tmp_path / name
    form(path, marker)
    error = refusal(path, subject="--weights", numpy_scalars=numpy_scalars)
    assert error.message.startswith(f"--weights: {path} can't be read as tensors: ")
    assert "never executes" in error.message
    assert error.exit_code == 2
    assert not marker.exists()


def test_a_payload_would_run_in_a_loader_that_executes(tmp_path: Path) -> None:
    """The tests above can fail."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "executed"))).close()
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("variable", ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
def test_no_environment_variable_opens_the_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    for number, form in enumerate(FORMS):
        form(tmp_path / f"{number}.pth", tmp_path / "executed")
        refusal(tmp_path / f"{number}.pth")
    assert not (tmp_path / "executed").exists()


def _script(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/constants.pkl", b"\x80\x02).")
        archive.writestr("m/data.pkl", b"\x80\x02}.")


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}.")
        archive.writestr("m/data/0", bytes(100 << 20))


def _other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.pth", b"\x80\x02}.")


def _tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "pickle")


def _cut(path: Path) -> None:
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:-100])


def _cut_legacy(path: Path) -> None:
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-10])


def _cut_safetensors(path: Path) -> None:
    save_file(STATE, path)
    path.write_bytes(path.read_bytes()[:-4])


def _claims(path: Path) -> None:
    """A legacy file with a storage that claims 10**15 numbers."""
    torch.save({"w": torch.zeros(8)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    at = content.rindex(b"K\x08Nt")
    path.write_bytes(content[:at] + b"\x8a\x07" + (10**15).to_bytes(7, "little") + content[at + 2 :])


def _claims_shape(path: Path) -> None:
    """A zip file with a tensor that claims 2**30 numbers of a storage of 8."""
    torch.save({"w": torch.zeros(8)}, path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data.replace(b"K\x08\x85", b"J\x00\x00\x00\x40\x85"))


def _nested(path: Path) -> None:
    content: dict[str, object] = {}
    for _ in range(200):
        content = {"a": content}
    torch.save(content, path)


DAMAGED = {
    "missing": (lambda path: None, "there is no file"),
    "folder": (Path.mkdir, "is a folder; a regular"),
    "pipe": (os.mkfifo, "is a named pipe; a regular"),
    "empty": (Path.touch, "it is empty"),
    "text": (lambda path: path.write_text("weights"), "neither a safetensors file nor"),
    "web page": (lambda path: path.write_text("\n <!DOCTYPE html>"), "a web page"),
    "pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "cut zip": (_cut, "cut short"),
    "cut legacy": (_cut_legacy, "cut short"),
    "cut safetensors": (_cut_safetensors, "damaged safetensors"),
    "huge header": (lambda p: p.write_bytes(struct.pack("<Q", 1 << 31) + b"{}"), "damaged safetensors"),
    "program": (_script, "TorchScript"),
    "other zip": (_other_zip, "archive of other files"),
    "bomb": (_bomb, "at most 20 times"),
    "tar": (_tar, "tar archive"),
    "claims": (_claims, "claims more data"),
    "claims a shape": (_claims_shape, "claims more data"),
    "list": (lambda path: torch.save([1], path), "holds a list"),
    "module": (lambda path: torch.save(torch.nn.Linear(1, 1), path), "Python object torch.nn.modules.linear"),
    "counter keys": (lambda path: torch.save(collections.Counter([1]), path), "not named by text"),
    "sparse": (lambda path: torch.save({"w": torch.eye(2).to_sparse()}, path), "sparse"),
    "nested": (_nested, "levels deep"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_and_foreign_files_are_explained(tmp_path: Path, kind: str) -> None:
    make, reason = DAMAGED[kind]
    path = tmp_path / "w.pth"
    make(path)
    assert reason in refusal(path, hint="Give another.").message


@pytest.mark.parametrize("home", ["~nobody-of-this-name/w.pth", "~/w.pth", "with\0nul.pth"])
def test_homes_and_odd_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert "pth" in refusal(Path(home)).message
    torch.save(STATE, tmp_path / "w.pth")
    if home == "~/w.pth":
        assert load_tensors(Path(home)).keys() == STATE.keys()


def test_a_pickle_is_no_safetensors_file(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "model.safetensors")
    with pytest.raises(TensorFileError, match="damaged safetensors"):
        load_safetensors(tmp_path / "model.safetensors")


def test_the_hash_is_compared_before_anything_is_read(tmp_path: Path) -> None:
    import hashlib

    torch.save(STATE, tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert load_tensors(tmp_path / "w.pth", sha256_prefix=digest[:8].upper()).keys() == STATE.keys()
    assert load_tensors(tmp_path / "w.pth", sha256_prefix=digest).keys() == STATE.keys()
    other = f"{int(digest[:8], 16) ^ 1:08x}"
    assert other in refusal(tmp_path / "w.pth", sha256_prefix=other).message


@pytest.mark.parametrize("legacy", [False, True])
def test_numpy_values_of_published_checkpoints(tmp_path: Path, legacy: bool) -> None:
    content: dict[str, Any] = {
        "net": STATE,
        "cmc": np.linspace(0, 1, 5, dtype=np.float32),
        "table": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        "mAP": np.float64(0.4765),
        "epoch": 60,
        "none": np.zeros((0, 3)),
    }
    path = tmp_path / "release.t"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert "numpy" in refusal(path).message
    back = load_tensors(path, numpy_scalars=True)
    assert torch.equal(back["net"]["a.weight"], STATE["a.weight"])
    assert back["mAP"] == content["mAP"]
    assert isinstance(back["mAP"], np.float64)
    for key in ("cmc", "table", "none"):
        np.testing.assert_array_equal(back[key], content[key])
        assert back[key].dtype == content[key].dtype.newbyteorder("=")
    assert "numpy" in refusal(path).message  # the names were lent for one call


def test_numpy_names_of_version_1(tmp_path: Path) -> None:
    """``numpy.core`` became ``numpy._core``; published files hold the old name."""
    torch.save({"mAP": np.float64(0.5)}, tmp_path / "new.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "new.pth").read_bytes()
    assert b"numpy._core" in content
    (tmp_path / "old.pth").write_bytes(content.replace(b"numpy._core", b"numpy.core"))
    assert load_tensors(tmp_path / "old.pth", numpy_scalars=True) == {"mAP": 0.5}


@pytest.mark.parametrize(
    "value",
    [
        np.array([1, "a", None], dtype=object),
        np.array(["text"]),
        np.array([(1, 2.0)], dtype="i4,f8"),
        np.datetime64(1, "s"),
    ],
    ids=["objects", "text", "records", "dates"],
)
def test_other_numpy_values_are_refused(tmp_path: Path, value: object) -> None:
    torch.save({"cmc": value}, tmp_path / "w.pth")
    assert "can't be read" in refusal(tmp_path / "w.pth", numpy_scalars=True).message


def test_a_numpy_payload_never_runs(tmp_path: Path) -> None:
    array = np.array([Payload(tmp_path / "executed")], dtype=object)
    torch.save({"cmc": array}, tmp_path / "w.pth")
    refusal(tmp_path / "w.pth", numpy_scalars=True)
    assert not (tmp_path / "executed").exists()
