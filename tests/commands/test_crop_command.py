"""``vireid crop`` on the command line: refusals before any work, and a whole run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.detection.test_crops import detector, rows_of, write_video
from vireid_cli.commands.main import app
from vireid_cli.detection.people import TorchvisionDetector
from vireid_cli.errors import UsageError

RUNNER = CliRunner()


@pytest.fixture
def weights(tmp_path: Path) -> list[str]:
    """Options for a file of weights whose content does not matter."""
    path = tmp_path / "own.pth"
    torch.save({}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ["--weights", str(path), "--network", "maskrcnn_resnet50_fpn", "--sha256", digest]


def test_crop_of_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: list[str]) -> None:
    def load(*_: Any) -> Any:
        return detector

    monkeypatch.setattr(TorchvisionDetector, "load", load)
    video = write_video(tmp_path / "cam6.avi", 3)
    out = tmp_path / "crops"
    words = ["crop", str(video), "--out", str(out), *weights, "--start", "2026-11-01T08:00:00"]
    done = RUNNER.invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "6 crops from 3 frames" in done.output
    assert {row["camid"] for row in rows_of(out)} == {"6"}
    assert rows_of(out)[-1]["time"] == "2026-11-01T08:00:00.080"


def test_crops_below_the_folder_of_frames_are_not_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: list[str]
) -> None:
    """Otherwise an interrupted run could not be resumed: its crops would be other sources."""
    monkeypatch.setattr(TorchvisionDetector, "load", lambda *_: detector)
    write_video(tmp_path / "site" / "cam6.avi", 3)
    words = ["crop", str(tmp_path / "site"), "--out", str(tmp_path / "site" / "crops" / "cam6"), *weights]
    for _ in range(2):
        done = RUNNER.invoke(app, words)
        assert done.exit_code == 0, done.output
        assert "6 crops from 3 frames" in done.output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--start", "yesterday"], "--start yesterday"),
        (["--min-size", "64"], "--min-size 64"),
        (["--min-size", "٣x٣"], "--min-size"),
    ],
)
def test_wrong_values_are_refused(options: list[str], reason: str, tmp_path: Path) -> None:
    words = ["crop", "x.mp4", "--out", str(tmp_path / "o"), "--weights", "w.pth", *options]
    done = RUNNER.invoke(app, words)
    assert isinstance(done.exception, UsageError)
    assert reason in str(done.exception)
    assert not (tmp_path / "o").exists()
