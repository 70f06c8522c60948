"""Every citation of ``docs/methods.md`` names one of its headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "methods.md"
FOLDERS = ("vireid_cli", "recipes", "tests", "docs")
SUFFIXES = {".py", ".yaml", ".md"}

CITATION = re.compile(r"docs/methods\.md#([\w-]*)")
NUMBERED = re.compile(r"\bMETHODS\b")
"""The former way to cite: sections of a page that is not in this repository."""


def texts() -> Iterator[tuple[Path, str]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path != Path(__file__):
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def anchors() -> list[str]:
    """Anchors of the page's headings as GitHub makes them: lower case, hyphens, no other punctuation."""
    headings = re.findall(r"^#+ (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_citation_is_a_heading() -> None:
    headings = set(anchors())
    lost = [
        f"{path}: #{name}"
        for path, text in texts()
        for name in CITATION.findall(text)
        if name not in headings
    ]
    assert not lost


def test_headings_are_unique() -> None:
    names = anchors()
    assert len(names) == len(set(names))


def test_no_citation_of_the_former_kind() -> None:
    assert not [str(path) for path, text in texts() if NUMBERED.search(text)]
