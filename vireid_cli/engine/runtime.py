"""Device, precision and seeds of the engine, and their record."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from vireid_cli.engine.world import ONE, World
from vireid_cli.errors import UsageError
from vireid_cli.version import __version__

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class Runtime:
    """A device and a precision.

    Attributes:
        device: Device of the tensors.
        precision: fp32, or the type of convolutions and products under autocast; spectra, distances
            and losses stay in fp32 (docs/methods.md#numerical-precision).
        automatic: Whether the precision is a default; a resumed run then uses its own precision.
        world: The processes that share the work.
    """

    device: torch.device
    precision: Precision
    automatic: bool = False
    world: World = ONE

    @staticmethod
    def choose(device: str = "auto", precision: str = "auto") -> Runtime:
        """Choose a device and a precision.

        Args:
            device: ``auto`` (a GPU if available), ``cpu``, ``cuda``, ``cuda:1`` …; under torchrun, ``cuda``
                is the GPU of the process's local rank.
            precision: ``auto`` is bf16 if the processor computes in bf16, else fp32.

        Raises:
            UsageError: The device or precision does not exist.
        """
        world = World.of_environment()
        if world.several and device in ("auto", "cuda") and torch.cuda.is_available():
            device = f"cuda:{world.local_rank}"
        selected = _device(device)
        if precision not in PRECISIONS:
            raise UsageError(f"--precision {precision}: expected one of {', '.join(PRECISIONS)}.")
        if precision == "auto":
            chosen: Precision = "bf16" if _has_bf16(selected) else "fp32"
            return Runtime(selected, chosen, automatic=True, world=world)
        return Runtime(selected, precision, world=world)  # type: ignore[arg-type]

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the mixed-precision context of one forward pass."""
        if self.precision == "fp32":
            return nullcontext()
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=kind)

    def scaler(self) -> torch.amp.GradScaler:
        """Return a gradient scaler, enabled for fp16 only."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def synchronize(self) -> None:
        """Wait until the device has finished, for time measurements."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def describe(self) -> dict[str, Any]:
        """Return machine, versions and commit, which accompany every measurement."""
        return {
            "device": _device_name(self.device),
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "ranks": self.world.size,
            "platform": platform.platform(),
            "python": platform.python_version(),
            "vireid": __version__,
            "commit": commit(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        }


def seed_of(*parts: int | str) -> int:
    """Return a 63-bit seed, a hash of ``parts`` such as (seed, purpose, epoch, step)."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(device: torch.device, *parts: int | str) -> torch.Generator:
    """Return a generator on ``device``, seeded by ``seed_of(*parts)``."""
    result = torch.Generator(device=device)
    result.manual_seed(seed_of(*parts))
    return result


def commit() -> str:
    """Return the commit of the package's git checkout, with ``+`` if it has changes; empty without git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return result.stdout.strip()


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]  # later sentences list every backend of PyTorch
        raise UsageError(f"--device {name} can't be used: {reason[:200]}", "Try --device cpu.") from error
    return device


def _has_bf16(device: torch.device) -> bool:
    """Whether the processor has bf16 instructions; emulation is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    probe = getattr(torch.cpu, "get_capabilities", None)
    if probe is not None:
        capabilities = probe()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    flags = Path("/proc/cpuinfo")
    text = flags.read_text() if flags.is_file() else ""
    return "amx_bf16" in text or "avx512_bf16" in text


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor() or 'CPU'} × {len(models) or 1}"
