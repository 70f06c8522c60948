"""Where a figure is written: what the makers of figures of data and of runs share."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vireid_cli.errors import UsageError
from vireid_cli.figures.saving import checked, save
from vireid_cli.files import refuse_unwritable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Output:
    """Where a figure goes and how.

    Attributes:
        out: File or None for the figure's own place.
        format: ``png`` or ``svg``; None: by ``out``, else PNG.
        dpi: Pixels an inch.
        note: What must be read with the figure.
    """

    out: Path | None = None
    format: str | None = None
    dpi: int = 150
    note: str | None = None

    def refuse_form(self) -> None:
        """Refuse a format or a resolution that ``save`` would refuse, before there is a figure.

        Raises:
            UsageError: See ``figures.saving.checked``.
        """
        checked(self.out or Path(), self.format, self.dpi)

    def refuse_place(self, usual: Path | None) -> None:
        """Refuse a place that can't be written to, before there is a figure.

        Args:
            usual: The figure's own folder, where it is known; for who names no file.

        Raises:
            UsageError: ``out`` is a folder.
            DataError: It can't be written.
        """
        if self.out is not None and self.out.is_dir():
            raise UsageError(
                f"{self.out} is a folder.", f"Name a file: --out {shlex.quote(str(self.out / 'figure.png'))}"
            )
        folder = self.out.parent if self.out is not None else usual
        if folder is not None:
            refuse_unwritable(folder)

    def save(self, figure: Figure, default: Path) -> Path:
        """Write a figure, atomically; its path with the ending."""
        return save(figure, self.out or default, self.format, self.dpi, self.note)
