"""Networks see all training images before an epoch is saved: SFCL's prototypes in the checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vireid_cli.data.store import Store
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.embed import load_trained, to_images
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.data import training_data
from vireid_cli.engine.train.interrupt import StopRequest
from vireid_cli.engine.train.train import train
from vireid_cli.errors import Interrupted, UsageError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.methods.baseline import Baseline
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Modality

CPU = Runtime(torch.device("cpu"), "fp32")
SFCL = """
method:
  name: sfcl
  options: {inference: prototype, cfam: {dim: 8}, tm: {state: 1, ratio: 1}, sfim: {rank: 2, hidden: 4}}
"""


def run_of(recipe: Path, data: Path, runs: Path, *settings: str) -> RunFolder:
    return train(load_recipe(str(recipe), settings), Session(CPU, Reporter(), data, runs))


def store_of(recipe: Path, data: Path) -> tuple[Store, np.ndarray]:
    """The prepared dataset and the rows of its training images."""
    loaded = load_recipe(str(recipe))
    session = Session(CPU, Reporter(), data, data / "runs")
    store = ensure_prepared(loaded.data.dataset, session, loaded.data.image_size, loaded.data.resize)
    return store, training_data(loaded, store).rows


def test_calibration_sees_the_training_images_of_each_saved_epoch(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run_of(tiny_recipe, sysu_tree, tmp_path / "plain")
    seen: list[dict[Modality, torch.Tensor]] = []

    def calibrate(self: Baseline, images: object) -> None:
        assert not self.training
        assert not torch.is_grad_enabled()
        seen.append({m: torch.cat(list(images(m))) for m in Modality})  # type: ignore[operator]

    monkeypatch.setattr(Baseline, "calibrate", calibrate)
    run = run_of(tiny_recipe, sysu_tree, tmp_path / "seen")
    store, rows = store_of(tiny_recipe, sysu_tree)
    assert len(seen) == 2  # epochs
    for modality in Modality:
        chosen = rows[store.records.modalities[rows] == modality.code]
        expected = to_images(store.batch((64, 32), chosen), CPU.device)
        assert torch.equal(seen[1][modality], expected)
    a, b = (checkpoints.load_model(r.checkpoints / "last") for r in (plain, run))
    assert all(torch.equal(a[key], b[key]) for key in a)
    seen.clear()
    run_of(tiny_recipe, sysu_tree, tmp_path / "rarely", "train.checkpoint_every=5")
    assert len(seen) == 1  # the last epoch


def test_without_a_finished_epoch_embedding_is_refused(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_recipe.write_text(tiny_recipe.read_text().replace("method: {name: baseline}", SFCL))
    monkeypatch.setattr(StopRequest, "__call__", lambda self: True)  # Ctrl-C in the first step
    with pytest.raises(Interrupted):
        run_of(tiny_recipe, sysu_tree, tmp_path)
    folders = {path.resolve() for path in tmp_path.iterdir() if (path / "checkpoints").is_dir()}
    (folder,) = folders  # one run, and perhaps a link to it
    network = load_trained(RunFolder(folder), Session(CPU, Reporter(), sysu_tree, tmp_path)).network
    with pytest.raises(UsageError, match="no mean tokens"):
        network.embed(torch.rand(1, 3, 64, 32), Modality.VISIBLE)


def test_prototypes_are_in_the_checkpoint_and_are_means_of_the_final_network(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path
) -> None:
    text = tiny_recipe.read_text().replace("method: {name: baseline}", SFCL)
    tiny_recipe.write_text(text)
    run = run_of(tiny_recipe, sysu_tree, tmp_path, "train.epochs=1")
    trained = load_trained(run, Session(CPU, Reporter(), sysu_tree, tmp_path), fold=False)
    network: ReIdNetwork = trained.network
    saved = {name: value.clone() for name, value in network.named_buffers() if name.startswith("prototypes")}
    assert saved["prototypes.tokens"].shape == (2, 4 * 2, 8)  # modality, positions of a 4 × 2 map, width
    store, rows = store_of(tiny_recipe, sysu_tree)

    def images(modality: Modality) -> object:
        chosen = rows[store.records.modalities[rows] == modality.code]
        return iter(to_images(store.batch((64, 32), chosen), CPU.device).split(5))

    with torch.no_grad():
        network.calibrate(images)  # type: ignore[arg-type]
        embedding = network.embed(next(images(Modality.VISIBLE)), Modality.VISIBLE)  # type: ignore[call-overload]
    for name, value in network.named_buffers():
        if name in saved:
            torch.testing.assert_close(value, saved[name], rtol=1e-4, atol=1e-5)
    assert embedding.isfinite().all()
