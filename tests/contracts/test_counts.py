"""Numbers in messages have a noun in the singular or the plural: 1 epoch, 2 epochs (``counts.counted``)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from vireid_cli.counts import counted

PACKAGE = Path(__file__).parents[2] / "vireid_cli"
FOLDERS = ("commands", "data", "detection", "engine", "recipe", "results", "sharding")
"""Packages with messages about the user's data and runs."""

NOUNS = (
    "ablation", "camera", "column", "crop", "embedding", "epoch", "evaluation", "file", "frame", "identity",
    "image", "key", "label", "line", "model", "name", "occluder", "page", "part", "person", "process",
    "protocol", "query", "record", "request", "row", "run", "seed", "step", "thread", "trial", "vector",
)  # fmt: skip
PLURAL = re.compile(rf" ({'|'.join(counted(2, noun)[2:] for noun in NOUNS)})\b(?!/)")
TEXTS = re.compile(r"text|path|modality|side|names?\b|order|OF|[A-Z_]{3,}|no'|'|split")
"""Values that are texts or constants, not numbers."""


def plurals(source: str) -> list[str]:
    """Formatted values with a plural noun after them, but without "of": 3 of 5 images."""
    plural = []
    for node in ast.walk(ast.parse(source)):
        values = node.values if isinstance(node, ast.JoinedStr) else []
        for before, value, after in zip(["", *values], values, values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            number = ast.unparse(value.value)
            share = isinstance(before, ast.Constant) and re.search(r"\b(of|all|of the) $", str(before.value))
            rate = value.format_spec is not None and "f" in ast.unparse(value.format_spec)
            if PLURAL.match(str(after.value)) and not (share or rate or TEXTS.search(number)):
                plural.append(f"{{{number}}}{after.value!s}")
    return plural


def test_the_plural_after_a_value_is_seen() -> None:
    assert plurals('f"trained {epochs} epochs"') == ["{epochs} epochs"]
    assert plurals('f"{done} of {total} images, {rate:.0f} images/s, {MOST} runs, {counted(n, 1)}"') == []


ALWAYS_MORE = {"engine/evaluate/result.py", "data/store.py", "commands/serve.py"}
"""Files with a number that is never 1, or that the next change of the file counts."""


@pytest.mark.parametrize("folder", FOLDERS)
def test_numbers_are_counted(folder: str) -> None:
    wrong = {}
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name not in ALWAYS_MORE and (lines := plurals(path.read_text(encoding="utf-8"))):
            wrong[name] = lines
    assert not wrong, "write {counted(number, 'noun')} of vireid_cli/counts.py"
