"""Where a figure is written: what the makers of figures of data and of runs share."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vireid_cli.engine.subjects.evaluations import identifiers_of
from vireid_cli.errors import DataError, UsageError
from vireid_cli.figures.saving import checked, save
from vireid_cli.files import refuse_unwritable
from vireid_cli.printable import printable
from vireid_cli.results.run import RunFolder

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
        runs: The runs that the figure is drawn from.
        evaluations: Identifiers of their evaluations before drawing, see ``identifiers_of``; they are kept in
            the file's metadata.
    """

    out: Path | None = None
    format: str | None = None
    dpi: int = 150
    note: str | None = None
    runs: tuple[RunFolder, ...] = ()
    evaluations: Mapping[str, str] = field(default_factory=dict)

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
        """Write a figure, atomically.

        Returns:
            Its path with the ending.

        Raises:
            DataError: The runs were evaluated again while it was drawn, or it can't be written.
        """
        if identifiers_of(self.runs) != self.evaluations:
            names = ", ".join(run.name for run in self.runs)
            raise DataError(f"{names}: evaluated again in the meantime.", "Draw the figure again.")
        about = "; ".join(f"{printable(name)} {number}" for name, number in self.evaluations.items())
        return save(figure, self.out or default, self.format, self.dpi, self.note, about)
