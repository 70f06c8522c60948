"""The engine's verbs of a trained model: load it, and embed images into a file."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.data import image_list
from vireid_cli.engine.embed_images.verb import Embedded, EmbedOptions, embed_images
from vireid_cli.engine.model import Model
from vireid_cli.engine.open_model import open_model
from vireid_cli.engine.run import RunName
from vireid_cli.engine.session import Session


class ModelVerbs:
    """Verbs of a trained model.

    Attributes:
        session: Device, reporter and folders.
    """

    session: Session

    def load(self, model: RunName | None = None) -> Model:
        """Load a run's network, or an exported file, for embedding; see ``open_model.open_model``."""
        return open_model(model, self.session)

    def embed_images(
        self,
        images: str | Path,
        out: str | Path,
        model: RunName | None = None,
        options: EmbedOptions | None = None,
    ) -> Embedded:
        """Embed the images of a folder or list into a file.

        Args:
            images: A folder, or a list ``.csv``; see ``image_list.list_images``.
            out: ``.npz`` or ``.parquet`` file; read it with ``embedding_files.read_embeddings``.
            model: A run or an exported file, as for ``load``.
            options: Options; None: the defaults.

        Raises:
            UsageError: An option or a path is wrong, the run has no checkpoint, or ``out`` is another file.
            MissingExtra: A package for the model or the file is not installed.
            DataError: The list has invalid lines, images can't be read, or a file is damaged or can't be
                written.
        """
        listed = image_list.list_images(Path(images))
        for note in listed.notes:
            self.session.reporter.info(f"{listed.source}: {note}")
        return embed_images(self.load(model), listed, Path(out), self.session, options)
