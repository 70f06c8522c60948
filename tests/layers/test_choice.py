"""A choice by codes gives each image the result of its own path."""

from __future__ import annotations

import torch
from torch import nn

from vireid_cli.backbones.two_stream import PerModality
from vireid_cli.layers.choice import choose, opposite
from vireid_cli.types import Modality


def test_only_one_path_runs_for_a_modality() -> None:
    def never() -> torch.Tensor:
        raise AssertionError("not chosen")

    ones = torch.ones(2)
    assert choose(Modality.VISIBLE, lambda: ones, never) is ones
    assert choose(Modality.INFRARED, never, lambda: ones) is ones


def test_each_image_takes_its_own_path() -> None:
    codes = torch.tensor([0, 1, 1])
    first, second = torch.zeros(3, 2), torch.ones(3, 2)
    assert choose(codes, lambda: first, lambda: second).tolist() == [[0, 0], [1, 1], [1, 1]]
    across = choose(codes, lambda: first.T, lambda: second.T, dim=1)
    assert across.tolist() == [[0, 1, 1], [0, 1, 1]]


def test_opposite() -> None:
    assert opposite(Modality.VISIBLE) is Modality.INFRARED
    assert opposite(torch.tensor([0, 1])).tolist() == [1, 0]


def test_copies_of_a_stage() -> None:
    torch.manual_seed(0)
    stage = PerModality(nn.Linear(3, 2))
    nn.init.normal_(stage.get_parameter("infrared.weight"))
    x = torch.rand(4, 3)
    by_code = stage(x, torch.tensor([1, 0, 1, 0]))
    torch.testing.assert_close(by_code[::2], stage(x, Modality.INFRARED)[::2])
    torch.testing.assert_close(by_code[1::2], stage(x, Modality.VISIBLE)[1::2])
