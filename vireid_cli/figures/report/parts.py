"""Parts of a report: tables, charts, a gallery and texts, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from vireid_cli.types import Size

Emphasis = Literal["", "best", "faint"]


FOLDED_FROM = 24
"""Maximum number of rows of an unfolded table of numbers."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: Content of the cell.
        note: Smaller lines below, such as an interval or a deviation.
        share: Length of a bar below the text, in [0, 1]; None draws no bar.
        run: Number of the run that determines the colour of the bar.
        emphasis: Highlighting of the cell.
    """

    text: str
    note: str = ""
    share: float | None = None
    run: int = 0
    emphasis: Emphasis = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table; ``run`` determines its colour, ``faint`` de-emphasises it."""

    head: Cell
    cells: tuple[Cell, ...]
    run: int | None = None
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption.

    Attributes:
        caption: Caption of the table.
        heads: Column names; the first one is for the row heads.
        rows: Rows, each with one cell fewer than ``heads``.
        notes: Lines below the table.
        words: Whether cells contain words (left-aligned, wrapped) instead of numbers.

    Raises:
        ValueError: Wrong number of cells in a row.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()
    words: bool = False

    @property
    def long(self) -> bool:
        """Whether the table is initially folded: 72 camera pairs would fill three screens of a phone."""
        return not self.words and len(self.rows) > FOLDED_FROM

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.heads) - 1:
                raise ValueError(f"{self.caption}: {len(row.cells)} cells under {len(self.heads) - 1} heads")


@dataclass(frozen=True, slots=True)
class Headline:
    """A headline number.

    Attributes:
        name: Name of the metric.
        value: Value in percent.
        low, high: Bounds of the interval in percent, or None.
        chance: Chance level in percent, or None if unknown.
        paper: Comparable value of the paper in percent, or None.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    paper: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Chart that the page's script draws: lines with bands, filled areas, or points.

    Attributes:
        title: Title above the chart.
        description: One sentence for screen readers.
        spec: Plain values for ``charts.js`` or ``tsne.js``.
    """

    title: str
    description: str
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranking of a gallery by one run.

    Attributes:
        average_precision: (Q,) NaN for queries without a legal match.
        first_rank: (Q,) 1-based rank of the first match; 0 without a match.
        top: (Q, K) gallery rows, best first; -1 fills missing entries.
        scores: (Q, K) similarities.
    """

    average_precision: np.ndarray
    first_rank: np.ndarray
    top: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, slots=True)
class ImageTable:
    """Labels of queries or gallery images, and their indices into the report's images."""

    paths: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.paths)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Queries with their first matches, in each run.

    Attributes:
        query: Q queries.
        gallery: Gallery images that occur among the matches.
        rankings: One ranking per run.
        runs: Numbers of these runs in the report.
        note: Remark on the selection of queries.
        cameras: Whether to show camera numbers, which may add nothing to the modality.

    Raises:
        ValueError: The arrays are inconsistent.
    """

    query: ImageTable
    gallery: ImageTable
    rankings: tuple[Ranking, ...]
    runs: tuple[int, ...]
    note: str = ""
    cameras: bool = True

    def __post_init__(self) -> None:
        for ranking in self.rankings:
            if ranking.top.shape != ranking.scores.shape or len(ranking.top) != len(self.query):
                raise ValueError(f"{ranking.top.shape} matches of {len(self.query)} queries")
            if ranking.top.size and not -1 <= ranking.top.min() <= ranking.top.max() < len(self.gallery):
                raise ValueError("a match is not in the gallery")


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of the page.

    Attributes:
        key: Anchor of the section.
        title: Heading.
        lead: Sentence below the heading.
        charts, tables: Charts, followed by tables.
        texts: (name, text) shown verbatim, such as a recipe.
        notes: Lines at the end.
    """

    key: str
    title: str
    lead: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Content of one report page.

    Attributes:
        title: Name of the run, or title of the comparison.
        subtitle: Text below the title: method, dataset, protocol.
        runs: Names of the runs, one or more; their order determines the colours.
        warnings: Important warnings, such as rendered data or evaluation on training identities.
        tiles: Headline numbers of a single run.
        facts: (name, value) of the protocol fingerprint; values that differ between runs have one line each.
        results: Headline tables.
        sections: Sections after the results, in order.
        gallery: Gallery after these sections, or None.
        more: Sections after the gallery, in order.
        images: WebP or JPEG files, each image once.
        image_size: (height, width) of the images in pixels, for reserving space in the page.
    """

    title: str
    subtitle: str
    runs: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    tiles: tuple[Headline, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    results: tuple[Table, ...] = ()
    sections: tuple[Section, ...] = ()
    gallery: Gallery | None = None
    more: tuple[Section, ...] = ()
    images: tuple[bytes, ...] = field(default=(), repr=False)
    image_size: Size = (2, 1)
