"""A real process, a real signal: training stops at a step, says how to go on, and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_train_stops_and_resumes(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, number: signal.Signals
) -> None:
    def command(*words: str) -> list[str]:
        return [sys.executable, "-m", "vireid_cli.commands.main", "train", *words, "--device", "cpu"]

    environment = os.environ | {"VIREID_DATA": str(sysu_tree), "VIREID_RUNS": str(tmp_path / "runs")}
    longer = ["--recipe", str(tiny_recipe), "--set", "train.epochs=40", "--set", "train.log_every=1"]
    process = subprocess.Popen(command(*longer), env=environment, stderr=subprocess.PIPE, text=True)
    runs = tmp_path / "runs"
    deadline = time.monotonic() + 120
    while not list(runs.glob("*/train.jsonl")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, result = process.communicate(timeout=120)
    assert process.returncode == 130, result
    log = runs / "latest" / "train.jsonl"
    assert "vireid train --resume" in result
    assert "Traceback" not in result
    assert '"global_step": 120' not in log.read_text(), "it was stopped before the end"
    if number is not signal.SIGINT:
        return  # the same checkpoint, whatever the signal
    resumed = subprocess.run(
        command("--resume", "latest"), env=environment, capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr
    steps = [
        row["global_step"] for row in map(json.loads, log.read_text().splitlines()) if row["kind"] == "step"
    ]
    assert steps == list(range(1, 121)), "no step is lost, none is logged twice"
