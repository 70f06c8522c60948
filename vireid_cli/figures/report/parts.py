"""What a report is made of: tables, charts, a gallery and texts, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from vireid_cli.types import Size

Emphasis = Literal["", "best", "faint"]


FOLDED_FROM = 24
"""Rows from which on a table of numbers is folded."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it says.
        note: Smaller lines beneath: an interval, a deviation.
        share: Length of a bar beneath the text, in [0, 1]; None: no bar.
        run: Whose colour the bar has.
        emphasis: How it stands out.
    """

    text: str
    note: str = ""
    share: float | None = None
    run: int = 0
    emphasis: Emphasis = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: its head and its cells; ``run`` is the run whose colour marks it, ``faint`` sets it back."""

    head: Cell
    cells: tuple[Cell, ...]
    run: int | None = None
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption.

    Attributes:
        caption: What it shows.
        heads: Names of the columns, the rows' heads first.
        rows: As many cells each as there are heads, less one.
        notes: Lines beneath.
        words: Whether the cells hold words, which stand left and may take several lines, not numbers.

    Raises:
        ValueError: A row of another length.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()
    words: bool = False

    @property
    def long(self) -> bool:
        """Whether it is folded until somebody opens it: 72 camera pairs are three screens of a phone."""
        return not self.words and len(self.rows) > FOLDED_FROM

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.heads) - 1:
                raise ValueError(f"{self.caption}: {len(row.cells)} cells under {len(self.heads) - 1} heads")


@dataclass(frozen=True, slots=True)
class Headline:
    """A headline number.

    Attributes:
        name: Of the figure.
        value, low, high: In percent; None where there is no interval.
        chance: What a random ranking gives, in percent; None where it is not known.
        paper: The paper's figure where comparable, in percent.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    paper: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """What the page's script draws: lines with bands, filled areas, or points.

    Attributes:
        title: Above it.
        description: One sentence for those who do not see it.
        spec: Plain values for ``charts.js`` or ``tsne.js``.
    """

    title: str
    description: str
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ranking:
    """One run's answer to the queries of a gallery.

    Attributes:
        average_precision: (Q,) NaN where a query has no legal match.
        first_rank: (Q,) 1-based rank of the first match, 0: none.
        top: (Q, K) gallery rows, best first; -1 where fewer are left.
        scores: (Q, K) similarities.
    """

    average_precision: np.ndarray
    first_rank: np.ndarray
    top: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, slots=True)
class ImageTable:
    """Queries, or the gallery images that occur: labels, and which of the report's images each is."""

    paths: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        """Number of them."""
        return len(self.paths)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Queries with their first matches, in each run.

    Attributes:
        query: Q queries.
        gallery: The gallery images among the matches.
        rankings: One a run.
        runs: Which of the report's runs they are of.
        note: What is shown and what is not.
        cameras: Whether camera numbers say more than modalities, so that they are shown.

    Raises:
        ValueError: Arrays that do not fit each other.
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
        key: The anchor.
        title: The heading.
        lead: A sentence beneath it.
        tables, charts: In this order of kinds: charts first.
        texts: (name, text) shown as they are, such as a recipe.
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
    """One page.

    Attributes:
        title: The run's name, or what is compared.
        subtitle: Beneath it: method, dataset, protocol.
        runs: Names of the runs, one or more; their order gives the colours.
        warnings: What must not be missed: rendered data, trained-on identities.
        tiles: Headline numbers of a single run.
        facts: (name, value) of the protocol fingerprint; values that differ between runs, a line each.
        results: Headline tables.
        sections: What comes next, in order.
        gallery: After them; None where there is none.
        more: The rest, in order.
        images: WebP or JPEG files; every image once.
        image_size: Their (height, width) in pixels, so that the page keeps room for them.
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
