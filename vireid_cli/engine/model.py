"""A trained network for use in other programs: embeds images of any size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vireid_cli.data.decode import BadImage, Decoder, load
from vireid_cli.data.resize import resize
from vireid_cli.engine.checkpoint import MODEL
from vireid_cli.engine.embed import BATCH, TrainedNetwork, embed_pixels, load_trained
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.processors import cores
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Modality, Resize, Size

ImageInput = str | Path | np.ndarray
"""The path of an image file, or its pixels: (H, W, 3) or (H, W) uint8, RGB or grey, of any size."""


class PixelEmbedder(Protocol):
    """A function of pixels, such as a network or an exported file."""

    def embed(self, pixels: np.ndarray, modality: Modality) -> np.ndarray:
        """Embed one batch of one modality: (N, H, W, 3) uint8 RGB → (N, D) float32, rows of unit length."""
        ...


@dataclass(frozen=True, slots=True)
class NetworkEmbedder:
    """A network with its device.

    Attributes:
        network: In eval mode, on the device of ``runtime``; batch norms are folded into convolutions.
        runtime: Device and precision.
    """

    network: ReIdNetwork
    runtime: Runtime

    def embed(self, pixels: np.ndarray, modality: Modality) -> np.ndarray:
        """Embed one batch; see ``embed.embed_pixels``."""
        return embed_pixels(self.network, pixels, modality, self.runtime)


@dataclass(frozen=True, slots=True)
class Model:
    """A trained network or an exported file, with all settings that affect its embeddings.

    Attributes:
        embedder: Computes embeddings of pixels at ``size``.
        size: (height, width) of the network's input in pixels; images are resized to this size.
        resize: Rule by which images are resized.
        decoder: Decodes image files: the range of 16-bit images, EXIF orientation.
        method: Name of the method.
        fingerprint: Hash of the weights, input size, resize rule, decoder and form of the embedding: models
            with equal ones have comparable embeddings. Recipe, method, checkpoint and precision describe
            the model.
        dimension: Number of columns of an embedding, D.
    """

    embedder: PixelEmbedder
    size: Size
    resize: Resize
    decoder: Decoder
    method: str
    fingerprint: dict[str, Any]
    dimension: int

    def embed(
        self,
        images: ImageInput | Iterable[ImageInput],
        modality: Modality | str,
        *,
        batch: int = BATCH,
        workers: int | None = None,
    ) -> np.ndarray:
        """Embed images of one modality.

        Args:
            images: One image or several; files and arrays may be mixed. ``embed`` reads one batch at a time,
                so an iterator of any length needs the memory of two batches.
            modality: ``visible`` or ``infrared``.
            batch: Images per forward pass.
            workers: Threads that decode and resize; None: one per processor core.

        Returns:
            (N, D) float32, rows of unit length, in the order of ``images``. The inner product of two rows is
            their cosine similarity.

        Raises:
            UsageError: The modality is unknown, ``images`` is empty, or an array is not an image.
            DataError: A file is missing or is not an image; the error names the file.
        """
        kind = parse_modality(modality)
        if batch < 1:
            raise UsageError(f"batch is {batch}: a forward pass needs at least one image.")
        several = [images] if isinstance(images, (str, Path, np.ndarray)) else images
        parts = [
            self.embedder.embed(pixels, kind)
            for pixels in self._batches(several, kind, batch, workers or cores())
        ]
        if not parts:
            raise UsageError("No images to embed.")
        return np.concatenate(parts)

    def _batches(
        self, images: Iterable[ImageInput], kind: Modality, batch: int, workers: int
    ) -> Iterator[np.ndarray]:
        """Yield (n, H, W, 3) uint8 of consecutive images; threads decode the next batch meanwhile."""
        remaining = iter(images)
        with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:

            def submit() -> list[Any]:
                """Start decoding the next batch."""
                return [pool.submit(self._read, image, kind) for image in islice(remaining, batch)]

            pending = submit()
            while pending:
                following = submit()
                yield np.stack([future.result() for future in pending])
                pending = following

    def _read(self, image: ImageInput, kind: Modality) -> np.ndarray:
        """Load and resize one image as ``vireid prepare`` does: (height, width, 3) uint8 RGB."""
        if isinstance(image, np.ndarray):
            return resize(_colour(image), self.size, self.resize)
        path = Path(image)
        try:
            return resize(self.decoder.decode(load(path), kind), self.size, self.resize)
        except BadImage as error:
            raise DataError(f"{path}: {error}") from error


def _colour(pixels: np.ndarray) -> np.ndarray:
    """Convert an array with one or three channels to (H, W, 3)."""
    grey = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1)
    if (
        pixels.dtype != np.uint8
        or not (grey or (pixels.ndim == 3 and pixels.shape[2] == 3))
        or not pixels.size
    ):
        raise UsageError(
            f"An array of shape {pixels.shape} and type {pixels.dtype} is not an image.",
            "Pass (H, W, 3) RGB or (H, W) grey pixels as uint8.",
        )
    return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2) if grey else pixels


def parse_modality(name: Modality | str) -> Modality:
    """Return the modality of this name.

    Raises:
        UsageError: The name is unknown.
    """
    try:
        return Modality(name)
    except ValueError:
        names: Sequence[str] = [modality.value for modality in Modality]
        raise UsageError(f"There is no modality '{name}'.", f"Choose: {' or '.join(names)}") from None


def load_model(run: RunFolder, session: Session) -> Model:
    """Load the network of the checkpoint that a run's recipe selects: the last one, or the best on val.

    Args:
        run: The run.
        session: Device and precision.

    Raises:
        UsageError: The run has no checkpoint.
        DataError: The checkpoint is damaged or does not fit the recipe.
    """
    trained = load_trained(run, session)
    data = trained.recipe.data
    fingerprint = fingerprint_of(trained, session.runtime)
    return Model(
        NetworkEmbedder(trained.network, session.runtime),
        data.image_size,
        data.resize,
        decoder_of(trained),
        trained.recipe.method.name,
        fingerprint,
        int(fingerprint["embedding"].split()[0]),
    )


def decoder_of(trained: TrainedNetwork) -> Decoder:
    """Return the decoder of a run's training images."""
    return Decoder.of_json(trained.environment["data"].get("decoder"))


def embedding_form(dimension: int) -> str:
    """Return the text about an embedding for fingerprints; it begins with the number of columns."""
    return f"{dimension} float32, unit length"


def fingerprint_of(trained: TrainedNetwork, runtime: Runtime) -> dict[str, Any]:
    """Return all settings that affect a checkpoint's embeddings, as JSON values; see ``Model``.

    Embeds one black image to count the columns of an embedding.
    """
    data = trained.recipe.data
    weights = (trained.folder / MODEL).read_bytes()
    black = np.zeros((1, *data.image_size, 3), np.uint8)
    dimension = embed_pixels(trained.network, black, Modality.VISIBLE, runtime).shape[1]
    return {
        "recipe": trained.recipe.name,
        "method": trained.recipe.method.name,
        "trained_on": trained.environment["data"]["dataset"],
        "checkpoint": trained.label,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "size": "x".join(map(str, data.image_size)),
        "resize": data.resize,
        "decoder": decoder_of(trained).as_json(),
        "embedding": embedding_form(dimension),
        "precision": runtime.precision,
    }
