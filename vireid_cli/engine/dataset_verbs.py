"""The engine's verbs on datasets: render, prepare, occlude, verify, and read as a PyTorch dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from vireid_cli.data.choices import Choices
from vireid_cli.data.identity_split import IdentitySplit
from vireid_cli.data.prepare import Prepared
from vireid_cli.detection.crop_mark import CropOptions
from vireid_cli.detection.crops import CroppedPeople
from vireid_cli.engine import crop, occlusion, prepare
from vireid_cli.engine.dataset import PersonDataset, dataset_of
from vireid_cli.engine.occlusion import NewLibrary
from vireid_cli.engine.read_image import parse_modality
from vireid_cli.engine.session import Session
from vireid_cli.occlusion.build import OccludedTree
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.tree import RenderedTree
from vireid_cli.types import RESIZE, SIZE, Modality, Resize, Size


class DatasetVerbs:
    """Verbs on datasets, with one session.

    Args:
        session: Device, reporter and folders; None: those of ``Session.choose``.
    """

    def __init__(self, session: Session | None = None) -> None:
        self.session = session or Session.choose()

    def synthesize(
        self, options: RenderOptions, *, root: Path | None = None, workers: int | None = None
    ) -> RenderedTree:
        """Render the benchmark as a tree in the layout of SYSU-MM01, RegDB or LLCM; see ``prepare.render``.

        Raises:
            UsageError: The folder holds a benchmark with other parameters.
            DataError: Writing failed.
        """
        return prepare.render(options, self.session, root=root, workers=workers)

    def prepare(
        self,
        dataset: str,
        size: Size = SIZE,
        *,
        root: Path | None = None,
        resize: Resize = RESIZE,
        depth: str | None = None,
        exif: bool | None = None,
        split: float | None = None,
        seed: int = 0,
        replace: bool = False,
        skip_bad: bool = False,
        workers: int | None = None,
    ) -> Prepared:
        """Decode a dataset's images into its prepared store at one size; see ``prepare.prepare_dataset``.

        ``depth``, ``exif`` and ``replace`` are those of ``data.choices.Choices``. ``split`` and ``seed`` are
        those of ``data.identity_split.IdentitySplit``, for own folders without splits.
        """
        division = None if split is None else IdentitySplit(split, seed)
        return prepare.prepare_dataset(
            dataset,
            self.session,
            size,
            root=root,
            resize=resize,
            choices=Choices(depth, exif, division, replace),
            skip_bad=skip_bad,
            workers=workers,
        )

    def occluders(
        self,
        folder: Path | None = None,
        *,
        categories: Sequence[str] = (),
        coco: Path | None = None,
        images: Path | None = None,
        detector: str | None = None,
        weights: str = "torchvision",
        refine: str = "none",
        sam_weights: Path | None = None,
        sam_kind: str = "vit_b",
    ) -> NewLibrary:
        """Draw a library of occluders, or extract one from photographs; see ``occlusion.make_library``."""
        return occlusion.make_library(
            folder,
            self.session,
            categories=categories,
            coco=coco,
            images=images,
            detector=detector,
            weights=weights,
            refine=refine,
            sam_weights=sam_weights,
            sam_kind=sam_kind,
        )

    def occlude(
        self,
        base: str,
        *,
        preset_name: str | None = None,
        changes: Mapping[str, Any] | None = None,
        seed: int = 0,
        library: Path | None = None,
        root: Path | None = None,
        part: tuple[int, int] = (1, 1),
        trial: int = 1,
        workers: int | None = None,
    ) -> OccludedTree:
        """Write a copy of a dataset with occluders in front of its people; see ``occlusion.occlude``."""
        return occlusion.occlude(
            base,
            self.session,
            preset_name=preset_name,
            changes=dict(changes or {}),
            seed=seed,
            library=library,
            root=root,
            part=part,
            trial=trial,
            workers=workers,
        )

    def verify_occluded(self, base: str, root: Path | None = None) -> list[str]:
        """List differences of an occluded tree from its hashes, and how to repair it; empty: none."""
        return occlusion.verify(base, self.session, root)

    def verify_rendered(self, layout: str, root: Path | None = None) -> list[str]:
        """List differences of a rendered tree from its hashes, and how to repair it; empty: none."""
        return prepare.verify_rendered(layout, self.session, root)

    def verify(self, dataset: str, *, workers: int | None = None) -> list[str]:
        """List differences of a prepared store from its hashes, and how to repair it; empty: none."""
        return prepare.verify(dataset, self.session, workers)

    def dataset(
        self,
        name: str = "sysu",
        split: str = "train",
        *,
        size: Size = SIZE,
        resize: Resize = RESIZE,
        modality: Modality | str | None = None,
        trial: int = 1,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> PersonDataset:
        """Return a prepared dataset for a training loop of your own; a missing size is prepared first.

        Args:
            name: Name of the dataset, as for ``vireid prepare``.
            split: ``train``, ``val``, ``trainval``, ``test`` or ``all``.
            size: (height, width) of the images in pixels.
            resize: Rule by which images are resized.
            modality: ``visible`` or ``infrared``; None: both.
            trial: Number of the split, from 1, of a dataset with several splits (RegDB).
            transform: Applied to each (3, H, W) float image in [0, 1].

        Raises:
            UsageError: The dataset is missing, or the split has no images.
        """
        store = prepare.ensure_prepared(name, self.session, size, resize)
        kind = None if modality is None else parse_modality(modality)
        return dataset_of(store, size, split, modality=kind, trial=trial, transform=transform)

    def crop(
        self,
        source: Path,
        out: Path,
        weights: Path,
        *,
        options: CropOptions = crop.OPTIONS,
        network: str | None = None,
        sha256: str | None = None,
        camid: int | None = None,
        fps: float | None = None,
        batch: int = 4,
        skip_bad: bool = False,
    ) -> CroppedPeople:
        """Write crops of the people in a video or a folder of frames; see ``crop.crop``."""
        return crop.crop(
            source,
            out,
            weights,
            self.session,
            options=options,
            network=network,
            sha256=sha256,
            camid=camid,
            fps=fps,
            batch=batch,
            skip_bad=skip_bad,
        )
