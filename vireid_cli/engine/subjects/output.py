"""Output of a figure: file, format, resolution, note and metadata."""

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
    """File, format and metadata of a figure.

    Attributes:
        out: The file; None: the figure's default.
        format: ``png`` or ``svg``; None: by the ending of ``out``, else PNG.
        dpi: Pixels per inch.
        note: Note below the figure.
        runs: The figure's runs.
        evaluations: Identifiers of the runs' evaluations before drawing (``identifiers_of``), saved in the
            file's metadata.
    """

    out: Path | None = None
    format: str | None = None
    dpi: int = 150
    note: str | None = None
    runs: tuple[RunFolder, ...] = ()
    evaluations: Mapping[str, str] = field(default_factory=dict)

    def check_format(self) -> None:
        """Check format and resolution before drawing.

        Raises:
            UsageError: See ``figures.saving.checked``.
        """
        checked(self.out or Path(), self.format, self.dpi)

    def check_path(self, default: Path | None) -> None:
        """Check before drawing that the file can be written.

        Args:
            default: Default folder of the figure, if known; checked if ``out`` is None.

        Raises:
            UsageError: ``out`` is a folder.
            DataError: The folder is not writable.
        """
        if self.out is not None and self.out.is_dir():
            raise UsageError(
                f"{self.out} is a folder.", f"Name a file: --out {shlex.quote(str(self.out / 'figure.png'))}"
            )
        folder = self.out.parent if self.out is not None else default
        if folder is not None:
            refuse_unwritable(folder)

    def save(self, figure: Figure, default: Path) -> Path:
        """Write a figure atomically.

        Args:
            figure: The figure.
            default: Path without ending, used if ``out`` is None.

        Returns:
            Path of the file, with its ending.

        Raises:
            DataError: The evaluations have changed during drawing, or writing failed.
        """
        if identifiers_of(self.runs) != self.evaluations:
            names = ", ".join(run.name for run in self.runs)
            raise DataError(f"The evaluations of {names} changed during drawing.", "Draw the figure again.")
        about = "; ".join(f"{printable(name)} {number}" for name, number in self.evaluations.items())
        return save(figure, self.out or default, self.format, self.dpi, self.note, about)
