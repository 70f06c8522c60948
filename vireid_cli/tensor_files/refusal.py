"""The reason of a refusal, on its way from the reader of one format to the caller's message."""

from __future__ import annotations


class Refused(Exception):
    """Why a file is refused: a clause with its own subject, such as "it is empty"."""
