"""Where the engine computes: device, precision, threads, and what is recorded about them."""

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

from vireid_cli.errors import UsageError
from vireid_cli.version import __version__

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class Runtime:
    """A device and a precision.

    Attributes:
        device: Where tensors live.
        precision: fp32, or the type that autocast uses for convolutions and products; spectra,
            distances and losses stay in fp32 (docs/methods.md#numerical-precision).
        automatic: Whether nobody asked for this precision: a run that goes on then keeps its own.
    """

    device: torch.device
    precision: Precision
    automatic: bool = False

    @staticmethod
    def choose(device: str = "auto", precision: str = "auto") -> Runtime:
        """Pick a device and a precision.

        Args:
            device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1`` …
            precision: ``auto`` is bf16 where the processor computes in it, else fp32.

        Raises:
            UsageError: No such device or precision.
        """
        chosen = _device(device)
        if precision not in PRECISIONS:
            raise UsageError(f"--precision {precision}: expected one of {', '.join(PRECISIONS)}.")
        if precision == "auto":
            return Runtime(chosen, "bf16" if _has_bf16(chosen) else "fp32", automatic=True)
        return Runtime(chosen, precision)  # type: ignore[arg-type]

    def autocast(self) -> AbstractContextManager[Any]:
        """The mixed-precision context of one forward pass."""
        if self.precision == "fp32":
            return nullcontext()
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=kind)

    def scaler(self) -> torch.amp.GradScaler:
        """Gradient scaling: on for fp16 only."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def synchronize(self) -> None:
        """Wait for the device, so that a time means something."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def describe(self) -> dict[str, Any]:
        """Machine, versions and commit, as they stand beside every measured value."""
        return {
            "device": _device_name(self.device),
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "vireid": __version__,
            "commit": commit(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        }


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed from what it stands for: (seed, purpose, epoch, step) …"""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(device: torch.device, *parts: int | str) -> torch.Generator:
    """A generator on ``device`` whose stream depends on nothing but ``parts``."""
    made = torch.Generator(device=device)
    made.manual_seed(seed_of(*parts))
    return made


def commit() -> str:
    """The commit of the checkout that the package runs from, ``+`` where it has changes; empty elsewhere."""
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name} can't be used: {reason}", "Try --device cpu.") from error
    return device


def _has_bf16(device: torch.device) -> bool:
    """Whether the processor computes in bf16 itself; emulated, it is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    probe = getattr(torch.cpu, "get_capabilities", None)
    if probe is not None:
        found = probe()
        return bool(found.get("amx_bf16") or found.get("avx512_bf16"))
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
