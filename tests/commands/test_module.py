"""``python -m vireid_cli`` is the command ``vireid``."""

from __future__ import annotations

import subprocess
import sys


def run_module(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vireid_cli", *words], capture_output=True, text=True, check=False
    )


def test_module_runs_a_command() -> None:
    done = run_module("recipes", "list")
    assert done.returncode == 0
    assert "quickstart" in done.stdout


def test_module_names_itself_vireid_and_exits_2_for_wrong_use() -> None:
    done = run_module("trian")
    assert done.returncode == 2
    assert "Usage: vireid [OPTIONS]" in done.stderr
    assert "Did you mean 'train'" in done.stderr
