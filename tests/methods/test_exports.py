"""Every method exports as one program for both modalities: the codes choose the path of each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.methods.conftest import Build
from vireid_cli import methods
from vireid_cli.exporters import onnx, torch_program
from vireid_cli.methods import ReIdNetwork
from vireid_cli.types import Batch, Modality

every_method = pytest.mark.parametrize("name", methods.available())


def trained(network: ReIdNetwork, batch: Batch) -> ReIdNetwork:
    """A network after one step, in which the copies of separate modules differ."""
    optimizer = torch.optim.SGD(network.train().parameters(), lr=0.05)
    sum(network.losses(batch).values()).backward()
    optimizer.step()
    network.eval()
    with torch.no_grad():
        network.calibrate(lambda m: iter([batch.visible if m is Modality.VISIBLE else batch.infrared]))
    return network


@every_method
def test_codes_choose_the_path_of_each_image(name: str, build: Build, batch: Batch) -> None:
    network = trained(build(name), batch)
    codes = torch.tensor([0, 1, 1, 0, 1])
    images = torch.where(codes.view(-1, 1, 1, 1) == 0, batch.visible[:5], batch.infrared[:5])
    with torch.no_grad():
        mixed = network.embed(images, codes)
        for code in (0, 1):
            alone = network.embed(images[codes == code], Modality.of(code))
            torch.testing.assert_close(mixed[codes == code], alone, rtol=0, atol=1e-5)
            other = network.embed(images[codes == code], Modality.of(1 - code))
            assert (other - alone).abs().max() > 1e-4


@every_method
@pytest.mark.long
def test_every_method_exports_to_onnx(name: str, build: Build, batch: Batch, tmp_path: Path) -> None:
    """The exporter refuses Fourier nodes and fixed batch sizes, and compares all batches with PyTorch."""
    pytest.importorskip("onnxruntime")
    network = trained(build(name), batch)
    samples = {Modality.VISIBLE: batch.visible[:3], Modality.INFRARED: batch.infrared[:2]}
    file = onnx.export_onnx(network, tmp_path, samples, layout="single")
    assert file.largest_difference < 1e-4
    (embedding,) = onnx.runner(file.files[0])([batch.infrared[:4].numpy(), np.ones(4, np.int64)])
    with torch.no_grad():
        expected = network.embed(batch.infrared[:4], Modality.INFRARED).numpy()
    np.testing.assert_allclose(embedding, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["sfcl"])
@pytest.mark.long
def test_spectra_and_scans_export_as_a_program_of_pytorch(
    name: str, build: Build, batch: Batch, tmp_path: Path
) -> None:
    network = trained(build(name), batch)
    samples = {Modality.VISIBLE: batch.visible[:3], Modality.INFRARED: batch.infrared[:2]}
    program = torch_program.export_torch(network, tmp_path, samples)
    assert program.largest_difference < 1e-4
