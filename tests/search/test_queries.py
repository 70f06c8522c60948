"""Queries of a search: their cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vireid_cli.errors import UsageError
from vireid_cli.search.queries import Queries


def test_the_advice_for_an_unknown_camera_fits_files_of_embeddings() -> None:
    """``--camera`` applies to images only."""
    queries = Queries(
        ("a.jpg",), (Path("a.jpg"),), ("visible",), (None,), (None,), np.eye(1, dtype=np.float32)
    )
    with pytest.raises(UsageError, match=r"the camera of the query a\.jpg is unknown") as caught:
        queries.known_cameras()
    assert caught.value.hint.startswith("Images: set --camera. Files of embeddings: ")
