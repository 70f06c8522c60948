"""Embeddings of folders and lists: equal to those of an evaluation, and to the byte for any division."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.conftest import Listener
from vireid_cli.data.image_list import list_images
from vireid_cli.embedding_files import read_embeddings
from vireid_cli.engine.embed_images import join, verb
from vireid_cli.engine.embed_images import plan as plans
from vireid_cli.engine.embed_images.share import Share, local_device, parse_share, share_of_environment
from vireid_cli.engine.embed_images.verb import EmbedOptions, embed_images
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.model import Model
from vireid_cli.engine.run import Run
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import Modality

SMALL = EmbedOptions(batch=8)


@pytest.fixture(scope="session")
def model(embed_run: Run) -> Model:
    return embed_run.load()


@pytest.fixture
def folder(sysu_tree: Path, tmp_path: Path) -> Path:
    """A copy of four people's images of the tree: 72 images, 24 of them infrared."""
    for path in (sysu_tree / "SYSU-MM01").glob("cam*/001[1-4]/*.jpg"):
        target = tmp_path / "images" / path.relative_to(sysu_tree / "SYSU-MM01")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 16 images: five parts of 72 images."""
    monkeypatch.setattr(plans, "PART", 16)


def test_equal_to_the_embeddings_of_an_evaluation(
    embed_engine: Engine, embed_run: Run, sysu_tree: Path, tmp_path: Path
) -> None:
    place = embed_engine.evaluate(embed_run, mode="all").only.folder
    assert place is not None
    with np.load(place / "embeddings.npz") as stored:
        rows = {str(path): i for i, path in enumerate(stored["paths"])}
        features, pids, camids, codes = (stored[n] for n in ("features", "pids", "camids", "modalities"))
    out = tmp_path / "e.npz"
    result = embed_engine.embed_images(sysu_tree / "SYSU-MM01", out, embed_run)
    content = read_embeddings(out)
    assert result.complete
    assert len(content) == 12 * 6 * 3
    places = [i for i, path in enumerate(content.rows.paths) if path in rows]
    others = [rows[str(content.rows.paths[i])] for i in places]
    assert len(places) == len(rows) > 40
    np.testing.assert_allclose(content.features[places], features[others], atol=2e-6)
    np.testing.assert_array_equal(content.rows.pids[places], pids[others])
    np.testing.assert_array_equal(content.rows.camids[places], camids[others])
    np.testing.assert_array_equal(content.rows.modalities[places], codes[others])  # decided by the channels
    assert content.origin.fingerprint == embed_run.load().fingerprint
    assert content.image(0).is_file()


def test_equal_to_the_model_image_by_image(model: Model, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.npz"
    joined = embed_images(model, list_images(folder), out, Engine.choose("cpu").session, SMALL).joined
    assert joined is not None
    assert joined.decided == joined.by_modality == {Modality.VISIBLE: 48, Modality.INFRARED: 24}
    content = read_embeddings(out)
    for row in (0, 30, 71):
        kind = Modality.of(content.rows.modalities[row])
        np.testing.assert_allclose(content.features[row], model.embed(content.image(row), kind)[0], atol=2e-6)


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_shares_are_equal_to_one_process(
    ending: str, model: Model, folder: Path, tmp_path: Path, embed_engine: Engine
) -> None:
    images, session = list_images(folder), embed_engine.session
    whole = tmp_path / f"whole.{ending}"
    embed_images(model, images, whole, session, SMALL)
    out = tmp_path / f"shared.{ending}"
    for index in (2, 0, 1):
        assert not out.exists()
        options = EmbedOptions(batch=8, share=Share(index, 3), workers=1 + index)
        result = embed_images(model, images, out, session, options)
    assert result.joined is not None
    assert out.read_bytes() == whole.read_bytes()
    assert not (tmp_path / f"shared.{ending}.parts").exists()


def test_a_batch_has_one_thread_for_any_number_of_cores(
    model: Model, folder: Path, tmp_path: Path, embed_engine: Engine
) -> None:
    """Products of large networks have other last bits on another number of threads."""
    seen: list[tuple[str, int, int]] = []

    class Watched:
        on_cpu = True

        def embed(self, pixels: np.ndarray, modality: Modality) -> np.ndarray:
            seen.append((threading.current_thread().name, torch.get_num_threads(), len(pixels)))
            time.sleep(0.01)
            return model.embedder.embed(pixels, modality)

    watched = replace(model, embedder=Watched())
    before = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            out = tmp_path / f"{count}.npz"
            embed_images(watched, list_images(folder), out, embed_engine.session, EmbedOptions(batch=4))
            assert torch.get_num_threads() == count
            assert {threads for _, threads, _ in seen} == {1}
            assert len({name for name, _, _ in seen}) == count
            assert max(images for _, _, images in seen) == 4
            seen.clear()
    finally:
        torch.set_num_threads(before)
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "3.npz").read_bytes()


def test_a_finished_file_is_not_computed_again(
    model: Model, folder: Path, tmp_path: Path, embed_engine: Engine
) -> None:
    out, session = tmp_path / "e.npz", embed_engine.session
    embed_images(model, list_images(folder), out, session, SMALL)
    again = embed_images(model, list_images(folder), out, session, SMALL)
    assert (again.computed, again.complete, again.joined) == (0, True, None)
    restarted = embed_images(model, list_images(folder), out, session, EmbedOptions(batch=8, restart=True))
    assert restarted.computed == 72
    os.utime(folder / "cam1" / "0011" / "0001.jpg")  # another image under the same name
    assert embed_images(model, list_images(folder), out, session, SMALL).computed == 72


def test_only_changed_parts_are_computed_after_a_failure(
    model: Model, folder: Path, tmp_path: Path, embed_engine: Engine, listener: Listener
) -> None:
    out, session = tmp_path / "e.npz", embed_engine.session
    broken = folder / "cam2" / "0011" / "0002.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    missing = list_images(folder)
    (folder / "cam6" / "0014" / "0003.jpg").rename(tmp_path / "kept.jpg")
    with pytest.raises(DataError, match=r"2 of 72 images in .*images can't be read") as refusal:
        embed_images(model, missing, out, session, SMALL)
    assert "cam2/0011/0002.jpg: " in str(refusal.value)
    assert "cam6/0014/0003.jpg: does not exist" in str(refusal.value)
    assert "--skip-bad" in refusal.value.hint
    broken.write_bytes(whole)
    (tmp_path / "kept.jpg").rename(folder / "cam6" / "0014" / "0003.jpg")
    repaired = embed_images(model, list_images(folder), out, session, SMALL)
    assert repaired.computed == 16 + 8  # the part of each image
    assert len(read_embeddings(out)) == 72


def test_unreadable_images_are_skipped_on_request(
    model: Model, folder: Path, tmp_path: Path, embed_engine: Engine
) -> None:
    out, session = tmp_path / "e.npz", embed_engine.session
    (folder / "cam2" / "0011" / "0002.jpg").write_bytes(b"no image")
    options = EmbedOptions(batch=8, skip_bad=True)
    result = embed_images(model, list_images(folder), out, session, options)
    assert result.joined is not None
    content = read_embeddings(out)
    assert len(content) == 71
    assert [path for path, _ in content.origin.skipped] == ["cam2/0011/0002.jpg"]
    row = content.rows.paths.tolist().index("cam2/0011/0003.jpg")
    kind = Modality.of(content.rows.modalities[row])
    np.testing.assert_allclose(content.features[row], model.embed(content.image(row), kind)[0], atol=2e-6)
    assert embed_images(model, list_images(folder), out, session, options).computed == 0
    with pytest.raises(DataError, match="1 of 72 images"):
        embed_images(model, list_images(folder), out, session, SMALL)
    for path in folder.rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="72 of 72 images"):
        embed_images(model, list_images(folder), tmp_path / "none.npz", session, options)


def test_damaged_parts_are_computed_again(
    model: Model, folder: Path, tmp_path: Path, embed_engine: Engine
) -> None:
    images, session, out = list_images(folder), embed_engine.session, tmp_path / "e.npz"
    whole = tmp_path / "whole.npz"
    embed_images(model, images, whole, session, SMALL)
    embed_images(model, images, out, session, EmbedOptions(batch=8, share=Share(0, 2)))
    parts = sorted((tmp_path / "e.npz.parts").glob("*.npz"))
    assert len(parts) == 3
    parts[0].write_bytes(parts[0].read_bytes()[:-200])
    shutil.copy(parts[1], parts[2])  # a part of other images under this name
    assert embed_images(model, images, out, session, SMALL).computed == 72 - 16
    assert out.read_bytes() == whole.read_bytes()


def test_two_processes_may_join_the_same_parts(
    model: Model, folder: Path, tmp_path: Path, embed_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, session, out = list_images(folder), embed_engine.session, tmp_path / "e.npz"
    write = join.write_embeddings

    def interrupted(*arguments: Any) -> Path:
        """Another process joins the parts and removes them, before this one reads them."""
        monkeypatch.setattr(join, "write_embeddings", write)
        assert embed_images(model, images, out, session, SMALL).joined is not None
        return write(*arguments)

    monkeypatch.setattr(join, "write_embeddings", interrupted)
    late = embed_images(model, images, out, session, SMALL)
    assert (late.complete, late.joined) == (True, None)
    assert len(read_embeddings(out)) == 72
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.npz", "images"]


def test_a_requested_modality_applies_to_all(
    model: Model, folder: Path, tmp_path: Path, embed_engine: Engine
) -> None:
    out = tmp_path / "e.npz"
    options = EmbedOptions(modality=Modality.INFRARED, batch=8)
    embed_images(model, list_images(folder), out, embed_engine.session, options)
    content = read_embeddings(out)
    assert set(content.rows.modalities.tolist()) == {Modality.INFRARED.code}
    assert (content.origin.modality_rule, content.origin.tolerance) == ("infrared", None)


def test_sixteen_bits_are_scaled_by_the_range_of_the_decided_modality(
    model: Model, tmp_path: Path, embed_engine: Engine
) -> None:
    draw = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    grey = draw.integers(1000, 2000, (64, 32)).astype(np.uint16)
    colour = draw.integers(0, 60_000, (64, 32, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "images" / "grey.png"), grey)
    cv2.imwrite(str(tmp_path / "images" / "colour.png"), colour)
    decoder = replace(model.decoder, infrared=(1000, 2000), visible=(0, 60_000))
    ranged = replace(model, decoder=decoder)
    out = tmp_path / "e.npz"
    embed_images(ranged, list_images(tmp_path / "images"), out, embed_engine.session, SMALL)
    content = read_embeddings(out)
    assert content.rows.modalities.tolist() == [Modality.VISIBLE.code, Modality.INFRARED.code]
    for row, kind in enumerate((Modality.VISIBLE, Modality.INFRARED)):
        np.testing.assert_allclose(
            content.features[row], ranged.embed(content.image(row), kind)[0], atol=2e-6
        )


def test_a_file_of_another_kind_is_not_replaced(
    model: Model, folder: Path, tmp_path: Path, embed_engine: Engine
) -> None:
    np.savez(tmp_path / "mine.npz", a=np.zeros(3))
    before = (tmp_path / "mine.npz").read_bytes()
    for name, words in (("mine.npz", "is no file of embeddings"), ("e.csv", "ends in")):
        with pytest.raises(UsageError, match=words):
            embed_images(model, list_images(folder), tmp_path / name, embed_engine.session, SMALL)
    assert (tmp_path / "mine.npz").read_bytes() == before
    options = EmbedOptions(restart=True, share=Share(0, 2))
    with pytest.raises(UsageError, match="other shares"):
        embed_images(model, list_images(folder), tmp_path / "e.npz", embed_engine.session, options)


def test_the_first_process_of_torchrun_waits_no_longer_than_its_patience(
    model: Model, folder: Path, tmp_path: Path, embed_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "PATIENCE", 0.3)
    options = EmbedOptions(batch=8, share=Share(0, 2, launched=True))
    with pytest.raises(DataError, match=r"2 of 5 parts are missing.*first is 0000001\.npz"):
        embed_images(model, list_images(folder), tmp_path / "e.npz", embed_engine.session, options)
    second = EmbedOptions(batch=8, share=Share(1, 2, launched=True))
    assert (
        embed_images(model, list_images(folder), tmp_path / "e.npz", embed_engine.session, second).joined
        is None
    )
    first = embed_images(model, list_images(folder), tmp_path / "e.npz", embed_engine.session, options)
    assert first.joined is not None


def test_shares_and_environments() -> None:
    assert parse_share("2/4") == Share(1, 4)
    assert list(Share(1, 4).parts(10)) == [1, 5, 9]
    for text in ("0/4", "5/4", "1", "a/b", "1/0", "-1/2", "1/2/3"):
        with pytest.raises(UsageError, match="I/N"):
            parse_share(text)
    assert share_of_environment({}) is None
    assert share_of_environment({"RANK": "1", "WORLD_SIZE": "2"}) == Share(1, 2, launched=True)
    with pytest.raises(UsageError, match="RANK=2"):
        share_of_environment({"RANK": "2", "WORLD_SIZE": "2"})
    assert local_device("auto", {"LOCAL_RANK": "3"}, 2) == "cuda:1"
    assert local_device("auto", {"LOCAL_RANK": "3"}, 0) == "auto"
    assert local_device("cpu", {"LOCAL_RANK": "3"}, 2) == "cpu"


COMMAND = """
import sys, time
from vireid_cli.engine import model
from vireid_cli.engine.embed_images import plan
plan.PART = 8
compute = model.embed_pixels
def slow(*arguments):
    time.sleep(0.15)
    return compute(*arguments)
model.embed_pixels = slow
from vireid_cli.commands.main import main
sys.argv[0] = "vireid"
main()
"""


def test_a_killed_process_resumes_to_the_same_bytes(
    model: Model,
    folder: Path,
    embed_run: Run,
    embed_engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plans, "PART", 8)
    out, whole, parts = tmp_path / "e.npz", tmp_path / "whole.npz", tmp_path / "e.npz.parts"
    words = ["embed", str(embed_run.folder), "--images", str(folder), "--out", str(out)]
    options = ["--batch", "8", "--precision", "fp32", "--device", "cpu"]
    process = subprocess.Popen([sys.executable, "-c", COMMAND, *words, *options])
    deadline = time.monotonic() + 120
    while len(list(parts.glob("0*.npz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(list(parts.glob("0*.npz")))
    assert 2 <= kept < 9
    assert not out.exists()
    images, session = list_images(folder), embed_engine.session
    assert embed_images(model, images, out, session, SMALL).computed == 72 - 8 * kept
    embed_images(model, images, whole, session, SMALL)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.npz", "images", "whole.npz"]


def test_queries_of_both_modalities(model: Model, folder: Path) -> None:
    paths = sorted(folder.rglob("*.jpg"))[::5]
    vectors, modalities = model.embed_auto(paths, batch=4)
    assert [kind.value for kind in modalities] == [
        "infrared" if path.parts[-3] in ("cam3", "cam6") else "visible" for path in paths
    ]
    for path, vector, kind in zip(paths, vectors, modalities, strict=True):
        np.testing.assert_allclose(vector, model.embed(path, kind)[0], atol=2e-6)
    pixels = np.zeros((20, 10), np.uint8)
    assert model.embed_auto(pixels)[1] == [Modality.INFRARED]
    with pytest.raises(UsageError, match="No images"):
        model.embed_auto([])
    with pytest.raises(DataError, match=r"x\.jpg"):
        model.embed_auto(["x.jpg"])
