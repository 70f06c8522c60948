"""``vireid prepare occluders`` and ``vireid prepare occluded``."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands.options import (
    DataDir,
    LibraryFolder,
    Workers,
    expanded,
    finite,
    make_engine,
    refuse_without_effect,
)
from vireid_cli.counts import counted
from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from vireid_cli.occlusion.build import OccludedTree

TrainShare = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Share of occluded training images.", show_default="of the preset", callback=finite
    ),
]
QueryShare = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Share of occluded query images.", show_default="of the preset", callback=finite
    ),
]
GalleryShare = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Share of occluded gallery images.", show_default="of the preset", callback=finite
    ),
]


class Preset(StrEnum):
    """Rule that selects the images to occlude."""

    occ_sysu = "occ-sysu"
    occ_regdb = "occ-regdb"
    occ_all = "occ-all"


class Epsilon(StrEnum):
    """Quantity that ε limits."""

    area = "area"
    height_ratio = "height_ratio"
    width_ratio = "width_ratio"


class Refine(StrEnum):
    """Method that refines masks."""

    none = "none"
    grabcut = "grabcut"
    sam = "sam"


class QueryModality(StrEnum):
    """Modality of the queries."""

    infrared = "infrared"
    visible = "visible"


Base = Annotated[str, typer.Option("--from", help="Dataset to occlude.")]
PresetName = Annotated[
    Preset | None,
    typer.Option(
        metavar="NAME",
        help="Rule that selects the images to occlude: occ-sysu, occ-regdb or occ-all.",
        show_default="of the dataset, such as occ-sysu for sysu",
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Random seed; determines every byte.")]
Queries = Annotated[QueryModality, typer.Option(help="Modality of the queries.")]
Limited = Annotated[
    Epsilon,
    typer.Option(
        metavar="NAME",
        help="Quantity that ε ~ U(0.1, 0.7) limits: area, height_ratio or width_ratio.",
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(help="Folder to write.", show_default="Occ-… beside the dataset", callback=expanded),
]
Trial = Annotated[int, typer.Option(min=1, help="RegDB: number of the split that defines queries.")]
Part = Annotated[str, typer.Option(help="I/N: write only the I-th of N shares of the images.")]
Verify = Annotated[bool, typer.Option("--verify", help="Compare the files with their hashes.")]


def occluders(
    context: typer.Context,
    category: Annotated[
        list[str] | None, typer.Option(help="Only built-in occluders of this category; repeatable.")
    ] = None,
    coco: Annotated[
        Path | None, typer.Option(help="COCO annotation file to import, with --images.", callback=expanded)
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of photographs.", callback=expanded)] = None,
    detector: Annotated[
        str | None, typer.Option(help="maskrcnn, or the path of a YOLOv8-seg network (.onnx), with --images.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Weights of Mask R-CNN: torchvision, or the path of a state dict.")
    ] = "torchvision",
    refine: Annotated[Refine, typer.Option(help="Method that refines masks.")] = Refine.none,
    sam_weights: Annotated[Path | None, typer.Option(help="Checkpoint of SAM.", callback=expanded)] = None,
    sam_kind: Annotated[str, typer.Option(help="Variant of SAM: vit_b, vit_l or vit_h.")] = "vit_b",
    library: LibraryFolder = None,
    data: DataDir = None,
) -> None:
    """Build a library of occluders: built-in drawings, or objects from your photographs.

    Without --images: 110 drawn objects in 21 categories. With --images: the instances of a COCO annotation
    file, or the detections of a network. Prints the number of rejected objects by reason.

    Example: vireid prepare occluders
    """
    from vireid_cli.commands import console

    if detector != "maskrcnn":
        refuse_without_effect(context, "Only --detector maskrcnn uses weights", "weights")
    if refine is not Refine.sam:
        refuse_without_effect(context, "Only --refine sam uses SAM", "sam_weights", "sam_kind")
    engine = make_engine("cpu", data=data)
    built = engine.occluders(
        library,
        categories=category or (),
        coco=coco,
        images=images,
        detector=detector,
        weights=weights,
        refine=refine.value,
        sam_weights=sam_weights,
        sam_kind=sam_kind,
    )
    for reason, count in built.skipped.items():
        console.print_line(f"skipped, {reason}: {count}")
    pools = [occluder.pool for occluder in built.library.occluders]
    train = pools.count("train")
    console.print_line(
        f"{counted(len(pools), 'occluder')}, {train} for training, {len(pools) - train} for testing, "
        f"library {built.library.sha256[:12]}"
    )
    console.print_paths([built.folder])
    option = ["--library", library] if library else []
    console.print_next(
        console.command_line("visualize", "occlusion", "--library-sheet", *option, data=data),
        console.command_line("prepare", "occluded", "--from", "sysu", *option, data=data),
    )


WRITE_OPTIONS = (
    *("preset", "seed", "train_p", "query_p", "gallery_p", "query_modality", "epsilon", "library", "trial"),
    *("part", "workers"),
)
"""Options of ``occluded`` for writing; ``--verify`` refuses them."""


def occluded(
    context: typer.Context,
    base: Base = "sysu",
    preset: PresetName = None,
    seed: Seed = 0,
    train_p: TrainShare = None,
    query_p: QueryShare = None,
    gallery_p: GalleryShare = None,
    query_modality: Queries = QueryModality.infrared,
    epsilon: Limited = Epsilon.area,
    library: LibraryFolder = None,
    root: Root = None,
    trial: Trial = 1,
    part: Part = "1/1",
    verify: Verify = False,
    workers: Workers = None,
    data: DataDir = None,
) -> None:
    """Write a copy of a dataset with occluders in front of people.

    After an interruption, the same command writes only the missing files. The bytes of a file depend only on
    seed and path, so that several machines can share the work: --part 1/4 … 4/4 into one folder.

    Example: vireid prepare occluded --from sysu --preset occ-sysu
    """
    from vireid_cli.commands import console

    numbers = _parse_part(part)
    if verify:
        refuse_without_effect(context, "--verify writes nothing", *WRITE_OPTIONS)
        console.print_differences(make_engine("cpu", data=data).verify_occluded(base, root=root))
        console.print_line("all files match their hashes")
        return
    shares = {"train_p": train_p, "query_p": query_p, "gallery_p": gallery_p}
    changes = {key: value for key, value in shares.items() if value is not None}
    changes |= {"query_modality": query_modality.value, "epsilon": epsilon.value}  # type: ignore[dict-item]
    tree = make_engine("cpu", data=data).occlude(
        base,
        preset_name=preset.value if preset else None,
        changes=changes,
        seed=seed,
        library=library,
        root=root,
        part=numbers,
        trial=trial,
        workers=workers,
    )
    _print_tree(tree, base, root, data)


def _print_tree(tree: OccludedTree, base: str, root: Path | None, data: Path | None) -> None:
    """Print the counts of occluded images, unreadable files, and the folder."""
    from vireid_cli.commands import console

    roles = ", ".join(f"{count} {role}" for role, count in sorted(tree.occluded.items()))
    rate = f", {tree.written / tree.seconds:.0f} images/s" if tree.written else ", all from an earlier call"
    console.print_line(f"{counted(tree.images, 'image')}, occluded: {roles or 'none'}{rate}")
    for path in tree.unreadable:
        console.print_line(f"unreadable, copied unchanged: {path}")
    console.print_paths([tree.root])
    if tree.content_hash:
        console.print_line(f"complete, content {tree.content_hash[:12]}")
        console.print_next(
            console.command_line("prepare", f"occ-{base}", *(["--root", root] if root else []), data=data)
        )
    else:
        console.print_line("incomplete: other parts are missing")


def _parse_part(text: str) -> tuple[int, int]:
    """Parse the share of the work: ``2/4`` → (2, 4).

    Raises:
        UsageError: The text has another form, or the part is not from 1 to N.
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--part {text}: expected I/N with I from 1 to N, such as 2/4.")
    return int(match[1]), int(match[2])
