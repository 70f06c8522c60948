"""Shares of the work: one process of several, by ``--shard`` or by the environment of torchrun."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vireid_cli.errors import UsageError


@dataclass(frozen=True, slots=True)
class Share:
    """The parts of one process: every ``count``-th one, from ``index`` on.

    Attributes:
        index: 0 to ``count`` - 1.
        count: Number of processes.
        launched: Whether torchrun started all processes. Then the first one waits for the others and joins
            the parts; otherwise the process that finishes last joins them.
    """

    index: int = 0
    count: int = 1
    launched: bool = False

    def parts(self, total: int) -> range:
        """Return the parts of this process, of ``total`` parts."""
        return range(self.index, total, self.count)

    @property
    def label(self) -> str:
        """Text such as `` (share 2 of 4)``; empty for a single process."""
        return f" (share {self.index + 1} of {self.count})" if self.count > 1 else ""


def parse_share(text: str) -> Share:
    """Parse ``2/4``, the second of four shares.

    Raises:
        UsageError: The text has another form, or the first number is not 1 to the second one.
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {text}: expected I/N with I from 1 to N, such as 1/4 … 4/4.")
    return Share(int(match[1]) - 1, int(match[2]))


def share_of_environment(environment: Mapping[str, str]) -> Share | None:
    """Return the share that torchrun assigned by ``RANK`` and ``WORLD_SIZE``; None without torchrun.

    Raises:
        UsageError: The variables are no numbers, or the rank is outside of the world.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return None
    rank, size = environment["RANK"], environment["WORLD_SIZE"]
    if not (
        rank.isascii() and rank.isdigit() and size.isascii() and size.isdigit() and int(rank) < int(size)
    ):
        raise UsageError(
            f"RANK={rank} and WORLD_SIZE={size} in the environment are no rank of a world.",
            "torchrun sets both; unset them to embed in one process.",
        )
    return Share(int(rank), int(size), launched=int(size) > 1)


def gpus() -> int:
    """Return the number of GPUs of this machine."""
    import torch  # heavy: the other functions parse text

    return torch.cuda.device_count()


def local_device(device: str, environment: Mapping[str, str], count: int) -> str:
    """Return the device of a process that torchrun started: its own GPU if the machine has several.

    Args:
        device: Requested device; only ``auto`` and ``cuda`` are changed.
        environment: Environment with ``LOCAL_RANK``.
        count: Number of GPUs of the machine.
    """
    rank = environment.get("LOCAL_RANK", "")
    if device not in ("auto", "cuda") or not rank.isdigit() or count == 0:
        return device
    return f"cuda:{int(rank) % count}"
