"""Peak memory of a part of a process."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from contextlib import suppress
from pathlib import Path

import torch

from vireid_cli.bench.timing import peak_memory

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET = "5"
"""Text that makes Linux reset the peak of a process's resident memory to its present value."""


class PeakMemory:
    """Largest memory in use since the creation of this object.

    On a GPU it is the memory of PyTorch's tensors. On a CPU it is the resident memory of the process with its
    libraries; where the system can't reset its peak, the largest value since the start of the process.

    Args:
        device: Device of the tensors.

    Attributes:
        kind: ``GPU tensors``, ``process``, or ``process since its start``.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.kind = "process since its start"
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
            self.kind = "GPU tensors"
        elif sys.platform.startswith("linux"):
            with suppress(OSError, AttributeError):
                # Memory that ``keep_freed_memory`` keeps is not this part's.
                ctypes.CDLL(None).malloc_trim(0)
                CLEAR.write_text(RESET)
                self.kind = "process"

    def read(self) -> int:
        """Return the peak in bytes; 0 on systems without this information."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        if self.kind == "process":
            peak = re.search(r"^VmHWM:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
            if peak:
                return int(peak[1]) * 1024
        return peak_memory()
