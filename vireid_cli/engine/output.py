"""Where a figure is written: what the makers of figures of data and of runs share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from vireid_cli.figures.saving import save


@dataclass(frozen=True, slots=True)
class Output:
    """Where a figure goes and how.

    Attributes:
        out: File or None for the figure's own place.
        format: ``png`` or ``svg``; None: by ``out``, else PNG.
        dpi: Pixels an inch.
    """

    out: Path | None = None
    format: str | None = None
    dpi: int = 150

    def save(self, figure: Figure, default: Path) -> Path:
        """Write a figure, atomically; its path with the ending."""
        return save(figure, self.out or default, self.format, self.dpi)
