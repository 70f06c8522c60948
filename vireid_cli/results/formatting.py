"""Formatting of results: names of metrics, percent values, titles of protocols."""

from __future__ import annotations

import re

from vireid_cli.counts import counted
from vireid_cli.results.schema import EvaluationFile

RENDERED = "Rendered benchmark: not comparable with any figure on real images."

RENDERED_NOTE = "rendered people"
"""Short form of ``RENDERED`` for figures."""


DIRECTIONS = {"v2i": "visible queries, infrared gallery", "i2v": "infrared queries, visible gallery"}
_EXCHANGED = {"llcm-release-v2i": "drawn infrared queries, all visible images, as released"}
"""Protocols with other roles than their name suggests; see ``data.protocols.llcm``."""


def joined_notes(*notes: str | None) -> str | None:
    """Join the notes of a figure; None if there are none."""
    return " · ".join(note for note in notes if note) or None


def column_name(metric: str) -> str:
    """Format the name of a metric: ``rank1`` is ``Rank-1``, ``vr_far_0.001`` is ``VR@FAR 0.1 %``."""
    if match := re.fullmatch(r"vr_far_([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)", metric):
        return f"VR@FAR {100 * float(match[1]):g} %"
    return metric.replace("rank", "Rank-")


def percent(value: float | None) -> str:
    """Format a share in percent with two decimals; – for None."""
    return "–" if value is None else f"{100 * value:.2f}"


def bounds(interval: list[float] | None) -> str:
    """Format an interval in percent; – for None.

    >>> bounds([0.618, 0.867]), bounds([-0.046, -0.003])
    ('61.8–86.7', '-4.6 to -0.3')
    """
    if interval is None:
        return "–"
    low, high = (f"{100 * bound:.1f}" for bound in interval)
    return f"{low} to {high}" if "-" in low + high else f"{low}–{high}"


def protocol_label(name: str) -> str:
    """Format the name of a protocol with its direction, if any: ``i2v-trial1 (infrared queries, …)``."""
    directions = [text for short, text in DIRECTIONS.items() if short in name.split("-")]
    roles = _EXCHANGED.get(name, directions[0] if directions else "")
    return f"{name} ({roles})" if roles else name


def evaluation_title(content: EvaluationFile) -> str:
    """Format dataset, protocol, and numbers of queries, gallery images and trials on one line."""
    repetitions = counted(content["trials"], "trial")
    if models := content.get("models"):
        repetitions = f"mean over {counted(models, 'model')}"
    counts = f"{content['valid_queries']} of {content['queries']} queries valid, gallery {content['gallery']}"
    dataset = content["fingerprint"].get("dataset", "")
    if crossed := content["fingerprint"].get("cross_dataset"):
        dataset = f"{dataset} (cross-dataset: {crossed})"
    return f"{dataset} · {protocol_label(content['protocol'])} · {counts}, {repetitions}"
