"""Escaping of untrusted text, such as file names, before it is printed to a terminal.

Control characters (including escape sequences), marks that reverse the reading direction, and lone
surrogates (bytes of a file name that are not UTF-8) become escapes: ``\\x1b``, ``\\u202e``, ``\\xff``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # invisible, reversing
    "\ud800-\udfff"  # lone surrogates
    "\U000e0000-\U000e007f]"  # invisible tags
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_OWN_BREAK = re.compile(r"\n(?=  |\t|$)")
_OWN_BREAK_IN_ADVICE = re.compile(r"\n(?=  |\t|$|[A-Z(]|vireid |--)")


def printable(text: object) -> str:
    """Text on one line, with every control character replaced by an escape.

    >>> printable("a\\x1b[31m.jpg")
    'a\\\\x1b[31m.jpg'
    """
    return _UNPRINTABLE.sub(lambda match: escape(match[0]), str(text))


def encodable(text: str) -> str:
    """Text with escapes for lone surrogates only, so that it can be encoded as UTF-8."""
    return text if text.isascii() else _SURROGATE.sub(lambda match: escape(match[0]), text)


def printable_lines(text: str, *, advice: bool = False) -> list[str]:
    """Split a message of this package into printable lines.

    Names in a message may contain line breaks. The package's own lines after the first are indented or, in
    ``advice``, start like a sentence or a command; every other line break becomes ``\\n``.
    """
    breaks = _OWN_BREAK_IN_ADVICE if advice else _OWN_BREAK
    return [line.replace("\t", "    ") if line.isspace() else printable(line) for line in breaks.split(text)]


def printable_block(text: str) -> str:
    """Printable text that keeps its line breaks and tabs, such as a Markdown table or a file's content."""
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in "\n\t" else escape(match[0]), text)


def printable_json(text: str) -> str:
    """JSON text with control characters as ``\\uXXXX``; JSON readers restore the original characters."""
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in _SHORT else _json_escape(match[0]), text)


def shell_line(words: Iterable[str]) -> str:
    """Join words to a shell command, quoted; words with control characters become ``$'…'``."""
    return " ".join(map(_shell_word, words))


def escape(character: str) -> str:
    """One character as an escape: ``\\n``, ``\\x1b``, ``\\u7167``; the surrogate of a byte as that byte."""
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8, as Python represents it
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _shell_word(word: str) -> str:
    if not _UNPRINTABLE.search(word):
        return shlex.quote(word)
    parts = []
    for character in word:
        if character in "\\'":
            parts.append(f"\\{character}")
        elif not _UNPRINTABLE.match(character):
            parts.append(character)
        elif character in _SHORT:
            parts.append(_SHORT[character])
        else:
            parts += [f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape")]
    return f"$'{''.join(parts)}'"
