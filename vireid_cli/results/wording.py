"""How results are said to people: names of metrics, shares in percent, what a protocol's title is."""

from __future__ import annotations

import re

from vireid_cli.results.schema import EvaluationFile

RENDERED = "Rendered benchmark: not comparable with any figure on real images."

RENDERED_NOTE = "rendered people"
"""The same on a figure, where there is room for two words."""

DIRECTIONS = {"v2i": "visible queries, infrared gallery", "i2v": "infrared queries, visible gallery"}
_EXCHANGED = {"llcm-release-v2i": "drawn infrared queries, all visible images, as released"}
"""Protocols whose name says other roles than they have: see ``data.protocols.llcm``."""


def column_name(metric: str) -> str:
    """``rank1`` → ``Rank-1``; ``vr_far_0.001`` → ``VR@FAR 0.1 %``."""
    if found := re.fullmatch(r"vr_far_([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)", metric):
        return f"VR@FAR {100 * float(found[1]):g} %"
    return metric.replace("rank", "Rank-")


def percent(value: float | None) -> str:
    """A share in percent with two decimals."""
    return "–" if value is None else f"{100 * value:.2f}"


def bounds(interval: list[float] | None) -> str:
    """An interval in percent."""
    return "–" if interval is None else f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}"


def protocol_words(name: str) -> str:
    """A protocol's name, and who queries where it says so: ``i2v-trial1 (infrared queries, …)``."""
    said = [words for short, words in DIRECTIONS.items() if short in name.split("-")]
    roles = _EXCHANGED.get(name, said[0] if said else "")
    return f"{name} ({roles})" if roles else name


def evaluation_title(content: EvaluationFile) -> str:
    """Dataset, protocol, numbers of queries, gallery images and trials on one line."""
    over = f"{content['trials']} trial{'s' if content['trials'] != 1 else ''}"
    if models := content.get("models"):
        over = f"mean over {models} models"
    counts = f"{content['valid_queries']} of {content['queries']} queries valid, gallery {content['gallery']}"
    dataset = content["fingerprint"].get("dataset", "")
    return f"{dataset} · {protocol_words(content['protocol'])} · {counts}, {over}"
