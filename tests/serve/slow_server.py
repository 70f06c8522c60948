"""A server whose model waits for the file ``go``: ``python -m tests.serve.slow_server FOLDER``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from tests.serve.made import PixelModel, fill_index, services_of, write_images
from vireid_cli.modality import Modality
from vireid_cli.serve.access import choose_access
from vireid_cli.serve.server import serve


class WaitingModel(PixelModel):
    """Waits in each call until a file exists."""

    go: Path | None = None

    def embed(self, images: list[np.ndarray], modality: Modality, *, batch: int, workers: int) -> np.ndarray:
        while self.go is not None and not self.go.exists():
            time.sleep(0.01)
        return super().embed(images, modality, batch=batch, workers=workers)


def main(folder: Path) -> None:
    model = WaitingModel()
    rows = write_images(folder / "images", 3)
    with fill_index(folder / "people", folder / "images", rows, model) as index:
        model.go = folder / "go"
        access = choose_access("127.0.0.1", None, False)
        served = serve(
            services_of(index, model),
            access,
            "127.0.0.1",
            0,
            ready=lambda address: print(address, flush=True),  # noqa: T201
        )
    print(f"answered {served.answered} complete {served.complete}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
