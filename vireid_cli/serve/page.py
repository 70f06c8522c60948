"""The page of the server: one HTML file without requests to other servers."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def page() -> str:
    """The HTML file."""
    return (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def policy() -> str:
    """Content security policy: only the page's own script and style, and requests to its own server."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes('script')}",
            f"style-src {_hashes('style')}",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hashes(tag: str) -> str:
    """Hashes of the page's elements of one kind, as sources of a policy."""
    contents = re.findall(rf"<{tag}>(.*?)</{tag}>", page(), re.DOTALL)
    digests = (hashlib.sha256(content.encode()).digest() for content in contents)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
