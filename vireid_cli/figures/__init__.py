"""Pictures of arrays: one file a figure, one style, no torch; the engine hands the arrays over."""

from __future__ import annotations

import os
from contextlib import suppress


def _import_matplotlib() -> None:
    """Import matplotlib without the backend of the environment, which it refuses if it is not installed.

    A notebook exports MPLBACKEND to every process that it starts, and the commands need no backend at all.
    In the notebook's own process the backend is known and is set as matplotlib would set it.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


_import_matplotlib()
