"""``vireid prepare occluders`` and ``vireid prepare occluded``, their figure and their benchmark."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands.options import DataDir, make_engine, refuse_idle
from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from vireid_cli.engine.engine import Engine
    from vireid_cli.occlusion.build import OccludedTree

Workers = Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="all cores")]
Chance = Annotated[float | None, typer.Option(min=0, max=1, show_default="the preset's")]
LibraryFolder = Annotated[
    Path | None, typer.Option("--library", help="Folder of a library.", show_default="<data>/occluders")
]


class Preset(StrEnum):
    """Which images are occluded."""

    occ_sysu = "occ-sysu"
    occ_regdb = "occ-regdb"
    occ_all = "occ-all"


class Epsilon(StrEnum):
    """What ε measures."""

    area = "area"
    height_ratio = "height_ratio"
    width_ratio = "width_ratio"


class Refine(StrEnum):
    """How masks are sharpened."""

    none = "none"
    grabcut = "grabcut"
    sam = "sam"


class Grouping(StrEnum):
    """What the lines of a sheet have in common."""

    camera = "camera"
    category = "category"
    modality = "modality"


class QueryModality(StrEnum):
    """Which modality's test images are queries."""

    infrared = "infrared"
    visible = "visible"


def occluders(
    context: typer.Context,
    category: Annotated[
        list[str] | None, typer.Option(help="Built-in ones of this category only; may be repeated.")
    ] = None,
    coco: Annotated[Path | None, typer.Option(help="COCO annotation file to import, with --images.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of photographs.")] = None,
    detector: Annotated[
        str | None, typer.Option(help="maskrcnn, or the path of a YOLOv8-seg network (.onnx), with --images.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Mask R-CNN's: torchvision, or the path of a state dict.")
    ] = "torchvision",
    refine: Annotated[Refine, typer.Option(help="How masks are sharpened.")] = Refine.none,
    sam_weights: Annotated[Path | None, typer.Option(help="SAM's checkpoint.")] = None,
    sam_kind: Annotated[str, typer.Option(help="vit_b, vit_l or vit_h.")] = "vit_b",
    library: LibraryFolder = None,
    data: DataDir = None,
) -> None:
    """Make the library of what may stand before a person: built-in things, or cut out of your photographs.

    Without --images: 110 drawn things in 21 categories. With them: the instances of a COCO annotation file,
    or what a detector finds; rejected ones are counted by reason.

    Example: vireid prepare occluders
    """
    from vireid_cli.commands import console

    if detector != "maskrcnn":
        refuse_idle(context, "No Mask R-CNN is run without --detector maskrcnn", "weights")
    if refine is not Refine.sam:
        refuse_idle(context, "SAM is not run without --refine sam", "sam_weights", "sam_kind")
    engine = make_engine("cpu", data=data)
    made = engine.occluders(
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
    for reason, count in made.skipped.items():
        console.print_line(f"left out, {reason}: {count}")
    things = made.library.occluders
    train = sum(thing.pool == "train" for thing in things)
    console.print_line(
        f"{len(things)} occluders, {train} for training, {len(things) - train} for testing, "
        f"library {made.library.sha256[:12]}"
    )
    console.print_paths([made.folder])
    given = ["--library", library] if library else []
    console.print_next(
        console.line("visualize", "occlusion", "--library-sheet", *given, data=data),
        console.line("prepare", "occluded", "--from", "sysu", *given, data=data),
    )


WRITTEN = (
    *("preset", "seed", "train_p", "query_p", "gallery_p", "query_modality", "epsilon", "library", "trial"),
    *("part", "workers"),
)
"""Options of ``occluded`` that say what is written and how."""


def occluded(
    context: typer.Context,
    base: Annotated[str, typer.Option("--from", help="Dataset whose people are occluded.")] = "sysu",
    preset: Annotated[
        Preset | None, typer.Option(help="Which images.", show_default="the dataset's: occ-sysu for sysu")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    train_p: Chance = None,
    query_p: Chance = None,
    gallery_p: Chance = None,
    query_modality: Annotated[
        QueryModality, typer.Option(help="Whose test images are queries.")
    ] = QueryModality.infrared,
    epsilon: Annotated[Epsilon, typer.Option(help="What ε ~ U(0.1, 0.7) measures.")] = Epsilon.area,
    library: LibraryFolder = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder to write.", show_default="Occ-… beside the dataset")
    ] = None,
    trial: Annotated[int, typer.Option(min=1, help="RegDB: whose split decides who is a query.")] = 1,
    part: Annotated[str, typer.Option(help="I/N: this machine's share of the images.")] = "1/1",
    verify: Annotated[bool, typer.Option("--verify", help="Check the tree against its hashes.")] = False,
    workers: Workers = None,
    data: DataDir = None,
) -> None:
    """Write a mirror of a dataset with occluders before its people. An interrupted run continues.

    A file's bytes depend on seed and path only, so work can be split: --part 1/4 … 4/4 into one folder.

    Example: vireid prepare occluded --from sysu --preset occ-sysu
    """
    share = _part(part)
    if verify:
        refuse_idle(context, "--verify checks a tree as it was written", *WRITTEN)
        _verify(make_engine("cpu", data=data), base, root)
        return
    given = {"train_p": train_p, "query_p": query_p, "gallery_p": gallery_p}
    changes = {key: value for key, value in given.items() if value is not None}
    changes |= {"query_modality": query_modality.value, "epsilon": epsilon.value}  # type: ignore[dict-item]
    tree = make_engine("cpu", data=data).occlude(
        base,
        preset_name=preset.value if preset else None,
        changes=changes,
        seed=seed,
        library=library,
        root=root,
        part=share,
        trial=trial,
        workers=workers,
    )
    _print_tree(tree, base, root)


def _verify(engine: Engine, base: str, root: Path | None) -> None:
    """Print what differs; exit 1 where anything does."""
    from vireid_cli.commands import console

    differences = engine.verify_occluded(base, root=root)
    for line in differences:
        console.print_line(line)
    if differences:
        raise typer.Exit(1)
    console.print_line("every file is as it was written")


def _print_tree(tree: OccludedTree, base: str, root: Path | None) -> None:
    """How many images are occluded, what is missing, where it lies."""
    from vireid_cli.commands import console

    roles = ", ".join(f"{count} {role}" for role, count in sorted(tree.occluded.items()))
    rate = f", {tree.written / tree.seconds:.0f} images/s" if tree.written else ", all were there before"
    console.print_line(f"{tree.images} images, occluded: {roles or 'none'}{rate}")
    for path in tree.unreadable:
        console.print_line(f"unreadable, carried over as it is: {path}")
    console.print_paths([tree.root])
    if tree.content_hash:
        console.print_line(f"complete, content {tree.content_hash[:12]}")
        console.print_next(console.line("prepare", f"occ-{base}", *(["--root", root] if root else [])))
    else:
        console.print_line("not complete yet: other parts are missing")


def _part(text: str) -> tuple[int, int]:
    """``2/4`` → (2, 4).

    Raises:
        UsageError: Not of that form, or the part is not from 1 to N.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--part {text}: expected I/N with I from 1 to N, such as 2/4.")
    return int(found[1]), int(found[2])


def visualize_occlusion(
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="Whose people.")] = "sysu",
    by: Annotated[Grouping, typer.Option(help="What the pairs of a line have in common.")] = Grouping.camera,
    rows: Annotated[int, typer.Option(min=1, max=40, help="Pairs a line.")] = 5,
    library_sheet: Annotated[
        bool, typer.Option("--library-sheet", help="Show the occluders themselves.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn at random.")] = 0,
    library: LibraryFolder = None,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="./figures/…")] = None,
    format: Annotated[str | None, typer.Option(help="png or svg.", show_default="by --out, else png")] = None,
    dpi: Annotated[int, typer.Option(help="Pixels an inch, 20 to 1200.")] = 150,
    data: DataDir = None,
) -> None:
    """People before and after, a line for each camera, category or modality; or the library.

    Example: vireid visualize occlusion --by category --rows 4
    """
    from vireid_cli.commands.console import print_paths
    from vireid_cli.engine.subjects.output import Output

    if library_sheet:
        refuse_idle(
            context, "--library-sheet shows every occluder, no people", "dataset", "by", "rows", "seed"
        )
    output = Output(out, format, dpi)
    output.refuse_form()
    engine = make_engine("cpu", data=data)
    path = engine.visualize(
        "occlusion",
        dataset,
        output=output,
        by=by.value,
        rows=rows,
        seed=seed,
        library=library,
        library_sheet=library_sheet,
    )
    print_paths([path])


def bench_occlude(
    dataset: Annotated[str, typer.Option(help="Whose images.")] = "sysu",
    images: Annotated[int, typer.Option(min=1, help="How many.")] = 600,
    workers: Workers = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: DataDir = None,
) -> None:
    """Images a second of `vireid prepare occluded`, reading to writing, and where the time goes.

    Example: vireid bench occlude --images 600
    """
    from vireid_cli.commands import bench

    bench._print("occlude", json, "cpu", "fp32", data=data, dataset=dataset, images=images, workers=workers)
