"""The ranking sheet of a search as one self-contained HTML file: queries with their matches.

The page sends no requests: its content security policy forbids external resources and scripts, and identifies
the style by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from vireid_cli.figures import style
from vireid_cli.printable import printable
from vireid_cli.version import __version__

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class MatchCard:
    """One match of a query.

    Attributes:
        image: WebP file; None if the image is missing.
        score: Text of the score.
        lines: Lines below it, such as camera, person and path.
        correct: Whether it is the query's person; None if unknown.
    """

    image: bytes | None
    score: str
    lines: tuple[str, ...]
    correct: bool | None = None


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One query with its matches, best first.

    Attributes:
        image: WebP file of the query; None if it is missing.
        lines: Lines below it.
        cards: Its matches.
    """

    image: bytes | None
    lines: tuple[str, ...]
    cards: tuple[MatchCard, ...]


def matches_page(title: str, subtitle: str, rows: Sequence[SheetRow]) -> str:
    """Render the page.

    Args:
        title: Heading.
        subtitle: Text below it, such as the index and the filter.
        rows: One row per query.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    colours = f":root{{--right-base:{style.RIGHT};--wrong-base:{style.WRONG};}}\n"
    css = colours + (FOLDER / "matches.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'"
    )
    return environment.get_template("matches.html.j2").render(
        title=title,
        subtitle=subtitle,
        rows=rows,
        css=Markup(css),
        policy=Markup(policy),
        picture=_picture,
        version=__version__,
    )


def _picture(image: bytes | None, name: str) -> Markup:
    """Element of an image, or a text in its place."""
    if image is None:
        return Markup('<div class="missing">no image</div>')
    content = base64.b64encode(image).decode()
    return Markup('<img src="data:image/webp;base64,{}" alt="{}" loading="lazy">').format(
        Markup(content), escape(name)
    )


def _shown(value: object) -> object:
    """Replace unprintable characters of a value by escapes; markup stays unchanged."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
