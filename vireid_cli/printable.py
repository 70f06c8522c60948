"""Foreign text for people: names and values out of files, shown so that no terminal obeys them.

Control characters (escape sequences among them), marks that reverse the reading direction, and lone
surrogates (bytes of a file name that are not UTF-8) are shown as escapes: ``\\x1b``, ``\\u202e``,
``\\udcff``.
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
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_OWN_BREAK = re.compile(r"\n(?=  |\t|$)")
_OWN_BREAK_IN_ADVICE = re.compile(r"\n(?=  |\t|$|[A-Z(]|vireid |--)")


def printable(text: object) -> str:
    """Text on one line, with an escape in the place of every character that a terminal might obey.

    >>> printable("a\\x1b[31m.jpg")
    'a\\\\x1b[31m.jpg'
    """
    return _UNPRINTABLE.sub(lambda match: escaped(match[0]), str(text))


def printable_lines(text: str, *, advice: bool = False) -> list[str]:
    """The lines of a message of our own, each printable.

    A message holds names out of files, and a name may hold a line break. Our own further lines are indented,
    or begin as a sentence or a command does in ``advice``; any other break is shown as ``\\n``.
    """
    breaks = _OWN_BREAK_IN_ADVICE if advice else _OWN_BREAK
    return [line.replace("\t", "    ") if line.isspace() else printable(line) for line in breaks.split(text)]


def printable_block(text: str) -> str:
    """Text of many lines whose breaks are meant, such as a table in Markdown or a file's content."""
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in "\n\t" else escaped(match[0]), text)


def printable_json(text: str) -> str:
    """JSON with every such character as ``\\uXXXX``, which JSON readers take back as it was."""
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in _SHORT else _json_escape(match[0]), text)


def shell_line(words: Iterable[str]) -> str:
    """Words quoted for a shell to copy; one that holds control characters as ``$'…'``."""
    return " ".join(map(_shell_word, words))


def escaped(character: str) -> str:
    """One character as an escape: ``\\n``, ``\\x1b``, ``\\u7167``."""
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
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
