"""Start a command in several processes of this machine, by torchrun's elastic agent."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Sequence

from vireid_cli.errors import Interrupted, ReportedElsewhere, UsageError, VireidError
from vireid_cli.processors import cores

LAUNCHER = "VIREID_LAUNCHER"
"""Environment variable with the process id of the launcher."""

ORPHAN_SECONDS = 60
"""Longest time for which a process goes on after its launcher was killed: it finishes its step and saves."""

SHUTDOWN_SECONDS = 600
"""Longest wait for the processes after Ctrl-C: they finish their step and save a checkpoint."""


def launch(processes: int, arguments: Sequence[str]) -> None:
    """Run ``vireid`` with these arguments in several processes, and wait for them.

    Equivalent to ``torchrun --standalone --nproc-per-node N -m vireid_cli …``; their output is this
    process's.

    Args:
        processes: Number of processes.
        arguments: The command and its options.

    Raises:
        VireidError: A process was killed; names its rank and the signal.
        ReportedElsewhere: A process failed or was interrupted, and printed the reason.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SHUTDOWN_SECONDS))
    os.environ[LAUNCHER] = str(os.getpid())
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the errors below name causes
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "vireid_cli", *arguments)
    except SignalException:
        raise ReportedElsewhere(Interrupted.exit_code) from None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            raise ReportedElsewhere(failure.exitcode) from error
        name = signal.Signals(-failure.exitcode).name
        raise VireidError(
            f"Rank {rank} was killed by {name}.",
            "SIGKILL often means that the machine ran out of memory. Checkpoints on the disk are intact.",
        ) from error
    finally:
        del os.environ[LAUNCHER]


def follow_launcher() -> None:
    """End this process soon after its launcher has ended, as by SIGKILL; else ranks would train on alone.

    SIGTERM comes first, which stops a training at its next step with a checkpoint. Does nothing in processes
    that ``launch`` did not start.
    """
    launcher = os.environ.pop(LAUNCHER, "")
    if launcher == str(os.getppid()):
        threading.Thread(target=_watch, args=(int(launcher),), daemon=True).start()


def _watch(launcher: int) -> None:
    """Wait until this process has another parent, then end it."""
    while os.getppid() == launcher:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    os._exit(128 + signal.SIGTERM)  # it waits for a rank that has ended already


def check_gpus(count: int) -> None:
    """Check that the machine has this many GPUs.

    Raises:
        UsageError: It has fewer.
    """
    import torch

    available = torch.cuda.device_count()
    if count > available:
        raise UsageError(
            f"--gpus {count}: this machine has {available} GPUs that PyTorch can use.",
            "Start CPU processes: --processes N.",
        )
