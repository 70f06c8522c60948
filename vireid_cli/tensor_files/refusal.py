"""Exception with the reason of a refusal, from the reader of a format to the caller's message."""

from __future__ import annotations


class Refused(Exception):
    """A file is refused; the text is the reason, a clause such as "it is empty"."""
