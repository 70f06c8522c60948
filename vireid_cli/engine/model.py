"""A trained network for use in other programs: embeds images of any size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vireid_cli.data.decode import BadImage, Decoder, load
from vireid_cli.data.grey import TOLERANCE
from vireid_cli.data.resize import resize
from vireid_cli.engine.checkpoint import MODEL
from vireid_cli.engine.embed import BATCH, TrainedNetwork, embed_pixels, load_trained
from vireid_cli.engine.read_image import ReadImage, decide, parse_modality, read_image, to_colour
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

    @property
    def on_cpu(self) -> bool:
        """Whether it computes on the CPU; then several threads may call it at the same time."""
        ...

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

    @property
    def on_cpu(self) -> bool:
        """Whether the network is on the CPU."""
        return self.runtime.device.type == "cpu"

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
        parts = [
            self.embedder.embed(np.stack([image.pixels for image in read]), kind)
            for read in self._batches(images, kind, batch, workers or cores())
        ]
        if not parts:
            raise UsageError("No images to embed.")
        return np.concatenate(parts)

    def embed_auto(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        tolerance: float = TOLERANCE,
        batch: int = BATCH,
        workers: int | None = None,
    ) -> tuple[np.ndarray, list[Modality]]:
        """Embed images of both modalities: infrared if the colour channels are equal; see ``data.grey``.

        Args:
            images: As for ``embed``.
            tolerance: Largest channel spread of an infrared image, in grey levels.
            batch: Images of both modalities that are read together.
            workers: As for ``embed``.

        Returns:
            Embeddings as of ``embed``, and the modality of each image.

        Raises:
            UsageError, DataError: As for ``embed``.
        """
        parts, modalities = [], list[Modality]()
        for read in self._batches(images, None, batch, workers or cores(), tolerance):
            pixels = np.stack([image.pixels for image in read])
            parts.append(self.embed_mixed(pixels, np.array([image.modality.code for image in read]), batch))
            modalities += [image.modality for image in read]
        if not parts:
            raise UsageError("No images to embed.")
        return np.concatenate(parts), modalities

    def embed_mixed(
        self, pixels: np.ndarray, codes: np.ndarray, batch: int = BATCH, pool: Executor | None = None
    ) -> np.ndarray:
        """Embed pixels of both modalities, in batches of one modality.

        Args:
            pixels: (N, H, W, 3) uint8 of ``size``.
            codes: (N,) ``Modality.code`` of each image.
            batch: Images per forward pass.
            pool: Threads that compute batches at the same time; None: one batch after the other.

        Returns:
            (N, D) float32, rows of unit length. The rows do not depend on the number of threads of ``pool``.
        """
        batches = [
            (places[first : first + batch], modality)
            for modality in Modality
            for places in [np.flatnonzero(codes == modality.code)]
            for first in range(0, len(places), batch)
        ]
        apply = map if pool is None else pool.map
        parts = apply(lambda item: self.embedder.embed(pixels[item[0]], item[1]), batches)
        features = np.empty((len(pixels), self.dimension), np.float32)
        for (places, _), part in zip(batches, parts, strict=True):
            features[places] = part
        return features

    def _batches(
        self,
        images: ImageInput | Iterable[ImageInput],
        modality: Modality | None,
        batch: int,
        workers: int,
        tolerance: float = TOLERANCE,
    ) -> Iterator[list[ReadImage]]:
        """Yield consecutive images in batches; threads decode the next batch meanwhile."""
        if batch < 1:
            raise UsageError(f"batch is {batch}: a forward pass needs at least one image.")
        remaining = iter([images] if isinstance(images, (str, Path, np.ndarray)) else images)
        with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:

            def submit() -> list[Any]:
                """Start decoding the next batch."""
                return [pool.submit(self._load, i, modality, tolerance) for i in islice(remaining, batch)]

            pending = submit()
            while pending:
                following = submit()
                yield [future.result() for future in pending]
                pending = following

    def _load(self, image: ImageInput, modality: Modality | None, tolerance: float) -> ReadImage:
        """Load and resize one image; raises ``DataError`` with its name if it can't be read."""
        if isinstance(image, np.ndarray):
            pixels = resize(to_colour(image), self.size, self.resize)
            return decide(pixels, modality, tolerance)
        path = Path(image)
        try:
            return self.read(load(path), modality, tolerance)
        except BadImage as error:
            raise DataError(f"{path}: {error}") from error

    def read(self, data: bytes, modality: Modality | None = None, tolerance: float = TOLERANCE) -> ReadImage:
        """Decode and resize an image as ``vireid prepare`` does.

        Args:
            data: Content of the image file.
            modality: Modality of the image; None: its pixels decide.
            tolerance: Largest channel spread of an infrared image, in grey levels.

        Raises:
            BadImage: The content is damaged or no image; the message is the reason.
        """
        return read_image(data, self.decoder, self.size, self.resize, modality, tolerance)


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
