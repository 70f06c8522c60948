"""Output of a figure: file, format, resolution, note and metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid_cli.counts import counted
from vireid_cli.engine.subjects.evaluations import identifiers_of, labels_of
from vireid_cli.errors import DataError, UsageError
from vireid_cli.figures.paper import READABLE
from vireid_cli.figures.saving import Print, checked, save, smallest_text
from vireid_cli.files import refuse_irregular, refuse_unwritable
from vireid_cli.printable import printable
from vireid_cli.results.run import RunFolder
from vireid_cli.results.unlike import marked

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Output:
    """File, format and metadata of a figure.

    Attributes:
        out: The file, or a folder for a file of the figure's name; None: the figure's default.
        format: ``png``, ``svg`` or ``pdf``; None: by the ending of ``out``, else PNG.
        dpi: Pixels per inch.
        width: Width in print, in inches; None: the figure's own. Charts are drawn at this width; other
            figures are scaled, with their text.
        title: Whether the title and the lines below it are drawn.
        labels: Labels of the runs, in their order; empty: short labels from their recipes.
        warn: Function that prints a warning.
        note: Note below the figure.
        runs: The figure's runs.
        evaluations: Identifiers of the runs' evaluations before drawing (``identifiers_of``), saved in the
            file's metadata.
        folder: Whether ``out`` is a folder, which writing creates; a folder that exists is one anyway.
    """

    out: Path | None = None
    format: str | None = None
    dpi: int = 150
    width: float | None = None
    title: bool = True
    labels: tuple[str, ...] = ()
    warn: Callable[[str], None] | None = None
    note: str | None = None
    runs: tuple[RunFolder, ...] = ()
    evaluations: Mapping[str, str] = field(default_factory=dict)
    folder: bool = False

    def check_format(self) -> None:
        """Check format and resolution before drawing.

        Raises:
            UsageError: See ``figures.saving.checked``.
        """
        checked(self._file or Path(), self.format, self.dpi)

    def check_path(self, default: Path | None) -> None:
        """Check before drawing that the file can be written.

        Args:
            default: Default folder of the figure, if known; checked if ``out`` is None.

        Raises:
            DataError: The folder is not writable, or ``out`` is a named pipe, socket or device.
        """
        if self.out is not None:
            refuse_irregular(self.out)
        folder = default if self.out is None else self._folder or self.out.parent
        if folder is not None:
            refuse_unwritable(folder)

    @property
    def _folder(self) -> Path | None:
        """``out`` if it is a folder."""
        return self.out if self.out is not None and (self.folder or self.out.is_dir()) else None

    @property
    def _file(self) -> Path | None:
        """``out`` if it is a file."""
        return None if self._folder else self.out

    def path(self, default: Path) -> Path:
        """Return the file: ``out``, the name of ``default`` in the folder ``out``, or ``default``."""
        return self._folder / default.name if self._folder else self.out or default

    def names(
        self, runs: Sequence[RunFolder], fingerprints: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[str, ...]:
        """Return one label per run: ``labels``, or short ones from their recipes.

        Args:
            runs: The runs.
            fingerprints: Fingerprint of each run's evaluation, if the figure shows results: labels of runs
                that were measured under unlike conditions get a mark, such as ``agw (bf16)``.

        Raises:
            UsageError: The number of labels differs from that of the runs, or two labels are equal.
        """
        labels = self.labels or labels_of(runs)
        if len(labels) != len(runs) or len(set(labels)) != len(runs):
            raise UsageError(
                f"--labels has {counted(len(self.labels), 'label')} ({', '.join(self.labels)}) "
                f"for {counted(len(runs), 'run')}.",
                "Name one label per run, separated by commas, each once.",
            )
        return tuple(marked(labels, fingerprints)) if fingerprints else labels

    def name(self, run: RunFolder) -> str:
        """Return the title of a figure of one run: its label, or the name of its folder."""
        return self.names([run])[0] if self.labels else run.name

    def save(self, figure: Figure, default: Path) -> Path:
        """Write a figure atomically.

        Args:
            figure: The figure.
            default: Path without ending, used if ``out`` is None; its name is used if ``out`` is a folder.

        Returns:
            Path of the file, with its ending.

        Raises:
            DataError: The evaluations have changed during drawing, or writing failed.
        """
        if identifiers_of(self.runs) != self.evaluations:
            names = ", ".join(run.name for run in self.runs)
            raise DataError(f"The evaluations of {names} changed during drawing.", "Draw the figure again.")
        about = "; ".join(f"{printable(name)} {number}" for name, number in self.evaluations.items())
        printed = Print(self.width, self.title)
        if self.warn is not None and self.width and (points := smallest_text(figure, printed)) < READABLE:
            self.warn(
                f"the smallest text of the figure has {points:.1f} points at this width; show less, or use a "
                "larger --width"
            )
        return save(figure, self.path(default), self.format, self.dpi, self.note, about, printed)
