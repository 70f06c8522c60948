"""``python -m vireid_cli`` is the command ``vireid``."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest


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


INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupt())
from vireid_cli.__main__ import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX systems")
def test_ctrl_c_during_the_import_prints_no_traceback() -> None:
    command = [sys.executable, "-c", INTERRUPTED_IMPORT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT
    assert done.stderr == ""
