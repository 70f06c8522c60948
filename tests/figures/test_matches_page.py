"""The ranking sheet of a search: hostile names, missing images, marks, and no request to anywhere."""

from __future__ import annotations

import base64
import hashlib
import re

from vireid_cli.figures.matches import MatchCard, SheetRow, matches_page

WEBP = b"RIFF\x00\x00\x00\x00WEBP"
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\"'&.jpg"


def page(*cards: MatchCard) -> str:
    return matches_page(HOSTILE, HOSTILE, [SheetRow(WEBP, (HOSTILE,), cards)])


def test_names_stay_text() -> None:
    text = page(MatchCard(WEBP, "0.5", (HOSTILE,)))
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m\\u202e") == 5


def test_the_policy_allows_the_style_only() -> None:
    text = page(MatchCard(WEBP, "0.5", ()))
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    [style] = re.findall(r"<style>(.*?)</style>", text, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'"
    )
    assert set(re.findall(r'src="([^"]{0,5})', text)) == {"data:"}


def test_marks_and_missing_images() -> None:
    text = page(
        MatchCard(WEBP, "0.9", (), True), MatchCard(None, "0.8", (), False), MatchCard(WEBP, "0.7", ())
    )
    assert re.findall(r"<li( class=\"\w+\")?>", text) == [' class="right"', ' class="wrong"', ""]
    assert "same person" in text
    assert "another person" in text
    assert text.count('class="missing"') == 1
    assert 'alt="match 1"' in text


def test_no_match() -> None:
    assert "No record matches the filter." in page()
