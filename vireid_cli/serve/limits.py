"""Limits of the server, and the errors with which it refuses requests."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from vireid_cli.errors import UsageError
from vireid_cli.printable import encodable

MIB = 1 << 20

PIXEL_LIMIT = "OPENCV_IO_MAX_IMAGE_PIXELS"
"""Environment variable with OpenCV's own limit."""


_OPTION = re.compile(r"--(where|top|group-by|exclude-same-camera|rerank)\b( (?=\"))?")
"""Options of ``vireid search`` in messages, with the blank before a quoted value."""


@dataclass(frozen=True, slots=True)
class ServeLimits:
    """Limits per request and of the whole server.

    Attributes:
        body: Bytes of a request's body.
        pixels: Pixels of an uploaded image, from its header, before it is decoded.
        images: Images of one request.
        concurrency: Requests that are processed or wait; more are refused with 503.
        seconds: Time of a request from its headers to the end of its answer.
        header_seconds: Time of a connection until its headers are complete.
        window: Seconds for which the first request of a batch waits for others.
        batch: Images of one forward pass, and vectors of one search.
    """

    body: int = 16 * MIB
    pixels: int = 20_000_000
    images: int = 32
    concurrency: int = 128
    seconds: float = 30.0
    header_seconds: float = 10.0
    window: float = 0.005
    batch: int = 32

    @property
    def connections(self) -> int:
        """Open connections; more are closed at once."""
        return 4 * self.concurrency


class RequestRefused(Exception):
    """A request that the server refuses.

    Args:
        status: HTTP status.
        message: The problem.
        hint: Advice.
    """

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, encodable(message), encodable(hint)

    def as_json(self) -> dict[str, dict[str, str]]:
        """Body of the answer."""
        return {"error": {"message": self.message, "hint": self.hint}}


def limit_decoder(pixels: int) -> None:
    """Set OpenCV's limit of pixels, for files with contradictory header and content.

    It has an effect before OpenCV is imported only. A limit of the user is kept.
    """
    os.environ.setdefault(PIXEL_LIMIT, str(pixels))


def client_error(error: UsageError) -> RequestRefused:
    """Convert wrong use, such as an unknown column of a filter, to an answer for the client."""
    return RequestRefused(400, _fields(error.message), _fields(error.hint))


def _fields(text: str) -> str:
    """Replace the options of the command line by the fields of a request."""
    return _OPTION.sub(lambda match: match[1].replace("-", "_") + ("=" if match[2] else ""), text)
