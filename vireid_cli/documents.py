"""Reading of JSON files, with validation against a typed form."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vireid_cli import reading
from vireid_cli.errors import DataError, VireidError
from vireid_cli.reading import shorten

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

LIMIT = 256 * reading.MIB
"""Largest JSON file in bytes."""

DEPTH = 100
"""Deepest accepted nesting."""

SEAL = "sha256"
"""Key of the hash over the other keys of a file that vireid writes and reads again."""

_LISTED = 5
"""Number of mistakes listed in a message."""

Form = TypeVar("Form")


class _Refusal(ValueError):
    """JSON that Python parses but this module refuses."""


def read_json(path: Path, *, hint: str = "", error: type[VireidError] = DataError) -> Any:
    """Read a JSON file.

    Args:
        path: Path of the file.
        hint: Advice for errors.
        error: Exception type.

    Raises:
        VireidError: Of type ``error``. Same cases as ``reading.open_regular``; or the file is not JSON, is
            nested deeper than ``DEPTH``, repeats a key, or contains NaN or a number with more digits than
            Python reads.
    """
    text = reading.read_text(path, limit=LIMIT, hint=hint, error=error, surrogates=True)
    return parse_json(text, str(path), hint=hint, error=error)


def parse_json(text: str, name: str, *, hint: str = "", error: type[VireidError] = DataError) -> Any:
    """Parse JSON text; ``name`` identifies it in errors. See ``read_json``."""
    try:
        content = json.loads(text, object_pairs_hook=_mapping, parse_constant=_refuse_constant)
        _refuse_depth(content)
    except json.JSONDecodeError as failure:
        place = f"{name}:{failure.lineno}"
        raise error(f"{place} can't be read as JSON: {failure.msg}.", hint) from failure
    except RecursionError as failure:
        raise error(f"{name} is nested deeper than {DEPTH} levels, the limit.", hint) from failure
    except ValueError as failure:  # a refusal, or int() on more than 4,300 digits
        reason = str(failure) if isinstance(failure, _Refusal) else "a number has too many digits"
        raise error(f"{name} can't be read as JSON: {reason}.", hint) from failure
    return content


def read_form(path: Path, form: type[Form], *, hint: str = "", error: type[VireidError] = DataError) -> Form:
    """Read a JSON file and validate it.

    Args:
        path: Path of the file.
        form: A ``TypedDict``, a pydantic model, or an annotated one.
        hint: Advice for errors.
        error: Exception type.

    Raises:
        VireidError: Of type ``error``. Same cases as ``read_json``; or keys are missing, unknown, or have
            values of another type or range (the message lists the first mistakes with their keys); or
            the content does not match its hash, see ``check_seal``.
    """
    content = read_json(path, hint=hint, error=error)
    checked = check_form(content, form, str(path), hint=hint, error=error)
    check_seal(content, str(path), hint=hint, error=error)
    return checked


def seal_of(content: Mapping[str, Any]) -> str:
    """SHA-256 over all keys but ``SEAL``, independent of the order of keys and of white space."""
    plain = {key: value for key, value in content.items() if key != SEAL}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content as JSON stores it, with its hash as the last key."""
    stored = {key: value for key, value in json.loads(json.dumps(content)).items() if key != SEAL}
    return {**stored, SEAL: seal_of(stored)}


def check_seal(content: Any, name: str, *, hint: str = "", error: type[VireidError] = DataError) -> None:
    """Compare content with its hash. Files of earlier versions have none and are accepted.

    Raises:
        VireidError: Of type ``error``: the content was damaged or edited after it was written.
    """
    if isinstance(content, dict) and SEAL in content and content[SEAL] != seal_of(content):
        raise error(f"{name} does not match its hash ({SEAL}): it is damaged or edited.", hint)


def check_form(
    content: Any, form: type[Form], name: str, *, hint: str = "", error: type[VireidError] = DataError
) -> Form:
    """Validate content that was read before; see ``read_form``."""
    from pydantic import ValidationError

    try:
        adapter: TypeAdapter[Form] = _adapter(form)  # type: ignore[arg-type]
        return adapter.validate_python(content)
    except ValidationError as failure:
        raise error(_message(name, failure), hint) from failure


@functools.cache
def _adapter(form: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(form)


def _message(name: str, failure: ValidationError) -> str:
    """Message with the file, and key and expectation of the first mistakes."""
    mistakes = failure.errors(include_url=False)
    lines = [_mistake(dict(mistake)) for mistake in mistakes[:_LISTED]]
    if len(mistakes) > _LISTED:
        lines.append(f"and {len(mistakes) - _LISTED} more mistakes.")
    if len(lines) == 1:
        return f"{name}: {lines[0]}"
    return "\n  ".join([f"{name} is not of the form that vireid writes:", *lines])


def _mistake(mistake: dict[str, Any]) -> str:
    """Key and expectation of one mistake."""
    key = shorten(".".join(str(part) for part in mistake["loc"]))
    at = f"{key}: " if key else ""
    if mistake["type"] == "missing":
        return f"{at}this key is missing."
    if mistake["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return f"{at}expected a mapping, not {_shown(mistake['input'])}."
    if mistake["type"] == "extra_forbidden":
        return f"{at}unknown key."
    text = str(mistake["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")
    if mistake["type"] == "value_error":
        return f"{at}{text}."
    return f"{at}{text}, not {_shown(mistake['input'])}."


def _shown(value: Any) -> str:
    """A value as JSON, shortened; mappings and lists by their kind only."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return shorten(json.dumps(value, ensure_ascii=False, default=repr))


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a mapping; refuse repeated keys."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Refusal(f"the key {shorten(repr(twice))} occurs twice")
    return mapping


def _refuse_constant(name: str) -> Any:
    raise _Refusal(f"{name} is not a JSON number")


def _refuse_depth(content: Any) -> None:
    """Raise ``RecursionError`` for content nested deeper than ``DEPTH``; walks iteratively, by level."""
    level = [content]
    for _ in range(DEPTH + 1):
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise RecursionError
