"""Descriptions of options, read from the docstrings of their models.

The section ``Attributes:`` of a docstring describes each key once. JSON Schema, the completion of ``--set``
and the documentation show these texts, so that no key is described in two places.
"""

from __future__ import annotations

import inspect
import re

from pydantic import BaseModel

_SECTION = re.compile(r"^(Attributes|Args|Returns|Raises):$", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w[\w, ]*):[ \n]", re.MULTILINE)


def summary(model: type[BaseModel]) -> str:
    """Return the docstring of a model as Markdown, without its section of attributes."""
    return _markdown(_SECTION.split(inspect.cleandoc(model.__doc__ or ""))[0])


def attributes(model: type[BaseModel]) -> dict[str, str]:
    """Return the description of each key of a model as Markdown, without inherited ones.

    A key that the docstring omits has the summary of its section's model. Keys that are described together
    (``low, high: …``) have the same text.
    """
    described = {
        name: summary(field.annotation)
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    parts = _SECTION.split(inspect.cleandoc(model.__doc__ or ""))
    bodies = [body for title, body in zip(parts[1::2], parts[2::2], strict=True) if title == "Attributes"]
    for body in bodies:
        entries = _ENTRY.split(body)
        for names, text in zip(entries[1::2], entries[2::2], strict=True):
            described |= dict.fromkeys(names.replace(" ", "").split(","), _markdown(text))
    return described


def _markdown(text: str) -> str:
    """Join the lines of each paragraph; code has single backticks."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(part for part in paragraphs if part).replace("``", "`")
