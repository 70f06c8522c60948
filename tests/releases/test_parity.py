"""Embeddings, losses and gradients of the released networks, from weights that anyone can rebuild."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.releases import parity
from vireid_cli.methods import ReIdNetwork
from vireid_cli.types import Modality

TRAIN_SIZE = {"hctri": (192, 96), "hctri_regdb": (192, 96), "sepg": (192, 96)}


@pytest.fixture(scope="module", autouse=True)
def _free_filled_weights() -> Iterator[None]:
    yield
    parity.fill.cache_clear()
    parity.expected.cache_clear()


def embedding(case: str, modality: Modality) -> np.ndarray:
    """The release's embedding as ours joins it: (2, D), rows of unit length."""
    arrays, end = parity.expected(case), modality.value
    if f"embedding_{end}" in arrays:
        rows = arrays[f"embedding_{end}"]  # stripes, or chunks of unit length
    elif arrays[f"neck_{end}"].ndim == 3:  # (branches, images, D)
        blocks = np.concatenate([arrays[f"pool_{end}"], arrays[f"neck_{end}"]])
        rows = blocks.transpose(1, 0, 2).reshape(2, -1)
    else:
        rows = arrays[f"neck_{end}"]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def trained(network: ReIdNetwork) -> ReIdNetwork:
    """In training mode and float64, without dropout."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network.double().train()


def terms(case: str) -> dict[str, np.ndarray]:
    """The release's weighted loss terms under our names."""
    arrays = parity.expected(case)
    if case.startswith("agw"):
        return {"identity": arrays["loss_identity"], "wrt": arrays["loss_wrt"]}
    if case == "caj":
        return {
            "identity": arrays["loss_identity"],
            "wrt_sq": arrays["loss_squared"],
            "kl": arrays["loss_cajplus_kl"],
        }
    if case.startswith("deen"):
        return {
            "identity": arrays["loss_identity"],
            "triplet": arrays["loss_triplet"],
            "cpm": 0.8 * (arrays["loss_cpm_first"] + arrays["loss_cpm_second"]),
            "ort": 0.01 * arrays["loss_ort"],
        }
    if case.startswith("hctri"):
        kind, weight = ("smooth", 2.0) if case == "hctri_regdb" else ("plain", 1.0)
        return {
            "identity": arrays[f"loss_identity_{kind}_stripes"].sum(),
            "joined": arrays["loss_joined"],
            "stripe": weight * arrays["loss_triplet_stripes"].sum(),
        }
    return {
        "chunk": arrays["loss_identity_chunks"].sum(),
        "aux_triplet": arrays["loss_triplet_chunks"].sum(),
        "cc": 2.5 * arrays["loss_center_chunks"].sum(),
        "specific": 2.0 * arrays["loss_specific"],
    }


def gradient_deviations(case: str, network: ReIdNetwork, sources: dict[str, tuple[str, ...]]) -> list[float]:
    """Of each parameter that is one released tensor: |Δ| of the gradient's norm, relative."""
    arrays = parity.expected(case)
    norms = dict(zip((key for key, _ in parity.keys(case)), arrays["grad_norm"], strict=True))
    least = 1e-9 * float(arrays["loss_total"])
    result = []
    for name, parameter in network.named_parameters():
        if len(sources[name]) != 1 or parameter.grad is None:
            continue
        theirs = norms[f"module.{sources[name][0]}" if case == "sepg" else sources[name][0]]
        if theirs > least:
            result.append(abs(float(parameter.grad.norm()) - theirs) / (theirs + least))
    return result


def among(*quick: str, without: tuple[str, ...] = ()) -> list[Any]:
    """All cases but some; those that are not ``quick`` only on request."""
    every = os.environ.get("VIREID_PARITY") == "all"
    skip = pytest.mark.skipif(not every, reason="a minute for all cases: VIREID_PARITY=all")
    return [
        case if case in quick else pytest.param(case, marks=skip)
        for case in parity.CASES
        if case not in without
    ]


# agw_regdb and caj have the network of agw, up to the classifier.
@pytest.mark.parametrize(
    "case", among("agw", "deen_regdb", "hctri_regdb", "sepg", without=("agw_regdb", "caj"))
)
def test_embeddings_in_float32(case: str) -> None:
    network, _ = parity.network(case)
    size = (384, 144) if case.startswith("deen") else (288, 144)
    for modality, images in parity.images(size).items():
        with torch.inference_mode():
            ours = network.embed(images, modality)
        assert parity.deviation(ours, embedding(case, modality)) <= 5e-6


@pytest.mark.parametrize("score", ["equal", "weighted"])
@pytest.mark.parametrize("case", among(without=tuple(set(parity.CASES) - {"deen", "deen_regdb"})))
def test_scores_of_deen(case: str, score: str) -> None:
    """The two scores that its test script prints, with mirror images."""
    kind = "mixed" if score == "weighted" else "blocks"
    network, _ = parity.network(case, f"method.options.embed.score={kind}")
    summed = []
    for modality, images in parity.images((384, 144)).items():
        with torch.inference_mode():
            summed.append(network.embed(images, modality) + network.embed(images.flip(-1), modality))
    weights = 3.0 if score == "weighted" else 6.0  # of all blocks together
    theirs = parity.expected(case)[f"scores_test_{score}"]
    assert parity.deviation(weights * summed[1] @ summed[0].mT, theirs) <= 5e-6


def compute_losses(case: str) -> tuple[ReIdNetwork, dict[str, tuple[str, ...]], dict[str, Tensor]]:
    network, sources = parity.network(case, *(["method.options.kl_weight=1.0"] if case == "caj" else []))
    network = trained(network)
    return network, sources, network.losses(parity.batch(TRAIN_SIZE.get(case, (96, 48))))


@pytest.mark.parametrize("case", among("agw", "caj", "deen_regdb", "hctri_regdb", "sepg"))
def test_losses_in_float64(case: str) -> None:
    with torch.no_grad():
        _, _, losses = compute_losses(case)
    assert losses.keys() == terms(case).keys()
    tolerance = {"sepg": 2e-7, "hctri_regdb": 1e-7}.get(case, 1e-9)
    for name, value in terms(case).items():
        assert parity.deviation(losses[name], np.asarray(value)) <= tolerance, name


@pytest.mark.parametrize("case", among("agw", "deen_regdb"))
def test_gradients_in_float64(case: str) -> None:
    network, sources, losses = compute_losses(case)
    total = sum((value for name, value in losses.items() if name != "kl"), start=torch.zeros(()))
    total.backward()
    deviations = gradient_deviations(case, network, sources)
    assert len(deviations) > 150
    assert max(deviations) <= 1e-4
