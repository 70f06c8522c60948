"""Rendering of a report as one self-contained HTML file.

The page contains style, script and images and sends no requests: its content security policy forbids
external resources and identifies style and script by their hashes. Equal reports give identical bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vireid_cli.figures import style
from vireid_cli.figures.report.parts import Gallery, ImageTable, Report
from vireid_cli.printable import printable, printable_block, printable_json
from vireid_cli.types import Modality
from vireid_cli.version import __version__

FOLDER = Path(__file__).parent
SCRIPTS = ("charts.js", "tsne.js", "gallery.js", "page.js")
"""Script files, in the order of concatenation."""


def page(report: Report) -> str:
    """Render the HTML file of a report."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=escape_value,
    )
    css = _colours() + (FOLDER / "page.css").read_text(encoding="utf-8")
    script = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    charts = {
        f"{section.key}-{i}": chart.spec
        for section in (*report.sections, *report.more)
        for i, chart in enumerate(section.charts)
    }
    data = {
        "runs": report.runs,
        "charts": charts,
        "size": report.image_size,
        "gallery": gallery_data(report.gallery) if report.gallery else None,
    }
    return environment.get_template("page.html.j2").render(
        report=report,
        policy=Markup(_policy(css, script)),
        css=Markup(css),
        script=Markup(script),
        data=Markup(embedded_json(escape_values(data))),
        images=Markup(embedded_json([data_uri(image) for image in report.images])),
        cameras=_cameras(report.gallery),
        people=_people(report.gallery),
        version=__version__,
    )


def embedded_json(content: Any) -> str:
    """Encode JSON for a script element; escapes characters that end the element or open a comment."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return printable_json(text).replace("<", "\\u003c").replace(">", "\\u003e")


def escape_values(content: Any) -> Any:
    """Replace unprintable characters in all texts of a JSON value by escapes."""
    if isinstance(content, str):
        return printable_block(content)
    if isinstance(content, Mapping):
        return {printable(key): escape_values(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [escape_values(value) for value in content]
    return content


def escape_value(value: Any) -> Any:
    """Replace unprintable characters of a value by escapes; markup stays unchanged."""
    return printable_block(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def data_uri(image: bytes) -> str:
    """Encode an image file as a ``data:`` URI.

    Raises:
        ValueError: The file is neither WebP nor JPEG nor PNG.
    """
    kinds = {b"RIFF": "webp", b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png"}
    kind = next((name for mark, name in kinds.items() if image.startswith(mark)), None)
    if kind is None:
        raise ValueError(f"unknown image format: the file starts with {image[:4]!r}")
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def gallery_data(gallery: Gallery) -> dict[str, Any]:
    """Convert a gallery to the columns of integers that the page's script reads."""
    return {
        "query": _columns(gallery.query),
        "gallery": _columns(gallery.gallery),
        "runs": gallery.runs,
        "cameras": gallery.cameras,
        "rankings": [
            {
                "precision": [None if np.isnan(p) else round(float(p), 4) for p in ranking.average_precision],
                "first": ranking.first_rank.tolist(),
                "top": ranking.top.tolist(),
                "scores": np.round(np.nan_to_num(ranking.scores) * 1000).astype(int).tolist(),
            }
            for ranking in gallery.rankings
        ],
    }


def _columns(side: ImageTable) -> dict[str, list[Any]]:
    return {
        "path": side.paths.tolist(),
        "pid": side.pids.tolist(),
        "camera": side.camids.tolist(),
        "image": side.images.tolist(),
    }


def _cameras(gallery: Gallery | None) -> list[int]:
    """Return the cameras for filtering queries; empty if there are fewer than two."""
    known = [] if gallery is None or not gallery.cameras else np.unique(gallery.query.camids).tolist()
    return known if len(known) > 1 else []


def _people(gallery: Gallery | None) -> list[int]:
    return [] if gallery is None else np.unique(gallery.query.pids).tolist()


def _policy(css: str, script: str) -> str:
    """Build the content security policy: only the page's own style, script and images."""
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(css)}'; script-src '{_hash(script)}'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _colours() -> str:
    """Return the palette of the figures as CSS variables."""
    named = {f"run{i}": colour for i, colour in enumerate(style.PALETTE)}
    named |= {modality.value: style.MODALITY_COLOUR[modality] for modality in Modality}
    named |= {"right": style.RIGHT, "wrong": style.WRONG}
    inner = "".join(f"--{name}-base:{colour};" for name, colour in named.items())
    return f":root{{{inner}}}\n"
