"""Figures drawn from arrays: one file per figure, one style, no torch. The engine supplies the arrays."""

from __future__ import annotations

import os
from contextlib import suppress


def _import_matplotlib() -> None:
    """Import matplotlib without the backend of MPLBACKEND: an uninstalled one makes the import fail.

    A notebook exports MPLBACKEND to all its child processes, but the commands need no backend. In the
    notebook's own process the backend exists, and this function sets it as matplotlib would.
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
