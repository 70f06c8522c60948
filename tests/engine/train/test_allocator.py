"""Memory that a training step frees is reused by the next one."""

import platform
import subprocess
import sys

import pytest
import torch

from vireid_cli.engine.train.allocator import keep_freed_memory

PAGES = 64 * 2**20 // 4096
CODE = f"""
import resource, sys, torch
from vireid_cli.engine.train.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory(torch.device("cpu"))
for turn in range(12):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros({PAGES} * 1024).add_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that the system adds for a block that was allocated and freed eleven times before."""
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc only")
def test_freed_memory_is_used_again() -> None:
    assert faults("keep") < PAGES / 100
    assert faults("leave") > PAGES / 600, "else there is nothing to keep"


def test_a_gpu_keeps_its_own() -> None:
    assert not keep_freed_memory(torch.device("meta"))
