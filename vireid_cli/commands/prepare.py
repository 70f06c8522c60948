"""``vireid prepare``: render the rendered benchmark, and convert datasets to the prepared store."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vireid_cli.commands import synthetic
from vireid_cli.commands.options import (
    DataDir,
    Workers,
    expanded,
    finite,
    make_engine,
    parse_size,
    refuse_without_effect,
)
from vireid_cli.counts import counted
from vireid_cli.dataset_names import OWN, source_names

if TYPE_CHECKING:
    from vireid_cli.data.prepare import Prepared
    from vireid_cli.types import RecordTable

app = typer.Typer(
    no_args_is_help=True,
    help="Render the rendered benchmark, or convert a dataset to the prepared store.\n\n"
    "Example: vireid prepare synthetic && vireid prepare sysu",
)


class ResizeName(StrEnum):
    """Resampling filter; see ``types.Resize``."""

    lanczos = "lanczos"
    bicubic = "bicubic"


app.command()(synthetic.synthetic)

Root = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the dataset.",
        show_default="in <data>, else the rendered one there",
        callback=expanded,
    ),
]
PixelSize = Annotated[str, typer.Option(help="HEIGHTxWIDTH of the stored pixels.")]
Filter = Annotated[ResizeName, typer.Option(help="Resampling filter; a recipe names it as data.resize.")]
Depth = Annotated[
    str | None,
    typer.Option(
        help="16-bit images: auto (measured range of each modality), full (÷ 256) or LOW:HIGH.",
        show_default="of the store, else auto",
    ),
]
Exif = Annotated[
    bool | None,
    typer.Option(
        "--exif/--no-exif",
        help="Rotate images by their EXIF orientation.",
        show_default="of the store, else on for folder only",
    ),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Skip unreadable images.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Check hashes, files and published counts of the prepared store.")
]
CHOICES = ("size", "resize", "depth", "exif", "skip_bad")
"""Parameters of a preparation that have no effect on ``--verify``, besides ``root``."""
LAYOUT = "For images in another layout, write records.csv at the root: path,pid,camid,modality,split."

SUMMARIES = {
    "sysu": "Convert SYSU-MM01 (or the rendered benchmark in its layout) to the prepared store.",
    "regdb": "Convert RegDB (or the rendered benchmark in its layout), with its ten trials.",
    "llcm": "Convert LLCM (or the rendered benchmark in its layout).",
    "oulu": "Convert Oulu-CASIA NIR-VIS; writes faces/{train,gallery,probe}.txt if they are missing.",
    "buaa": "Convert BUAA-VisNir; writes faces/{train,gallery,probe}.txt if they are missing.",
    "occ-sysu": "Convert an occluded SYSU-MM01, the output of `vireid prepare occluded`.",
    "occ-regdb": "Convert an occluded RegDB, the output of `vireid prepare occluded`.",
    "occ-llcm": "Convert an occluded LLCM, the output of `vireid prepare occluded`.",
}
"""First line of a command's help by dataset; other sources have a general one."""


def _add(name: str, summary: str) -> None:
    """Add the command of one dataset; all have the same options."""

    @app.command(
        name, help=f"{summary}\n\n{LAYOUT}\n\nExample: vireid prepare {name} --root /datasets/{name}"
    )
    def command(
        context: typer.Context,
        root: Root = None,
        size: PixelSize = "288x144",
        resize: Filter = ResizeName.lanczos,
        depth: Depth = None,
        exif: Exif = None,
        skip_bad: SkipBad = False,
        verify: Verify = False,
        workers: Workers = None,
        data: DataDir = None,
    ) -> None:
        """Prepare the dataset with this name."""
        if verify:
            refuse_without_effect(context, "--verify only checks the prepared store", "root", *CHOICES)
            _verify(name, workers, data)
        else:
            pixels = {"resize": resize.value, "depth": depth, "exif": exif, "skip_bad": skip_bad}
            _prepare(name, root, size, workers, data, pixels)


_others = [source for source in source_names() if source not in SUMMARIES and source != OWN]
for _name in (*SUMMARIES, *_others):
    _add(_name, SUMMARIES.get(_name, f"Convert the dataset {_name}."))


@app.command()
def folder(
    context: typer.Context,
    root: Root = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of this folder among several: the dataset is then folder:NAME."),
    ] = None,
    split: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of the people for training, if the root has only visible/ and infrared/.",
            show_default="of the store, else 0.5",
            callback=finite,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the division by --split.")] = 0,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the images of another root in the store.")
    ] = False,
    size: PixelSize = "288x144",
    resize: Filter = ResizeName.lanczos,
    depth: Depth = None,
    exif: Exif = None,
    skip_bad: SkipBad = False,
    verify: Verify = False,
    workers: Workers = None,
    data: DataDir = None,
) -> None:
    """Convert your own images: {train,query,gallery}/{visible,infrared}/<person>/, or a records.csv.

    A root with only visible/<person>/ and infrared/<person>/ is divided by --split. Persons are numbers or
    words.

    Example: vireid prepare folder --name mysite --root /data/mysite --size 96x48
    """
    dataset = OWN if name is None else f"{OWN}:{name}"
    if verify:
        without_effect = ("root", "split", "seed", "replace", *CHOICES)
        refuse_without_effect(context, "--verify only checks the prepared store", *without_effect)
        _verify(dataset, workers, data)
        return
    if split is None:
        refuse_without_effect(context, "--split is missing", "seed")
    pixels = {"resize": resize.value, "depth": depth, "exif": exif, "skip_bad": skip_bad}
    division = {"split": split, "seed": seed, "replace": replace}
    _prepare(dataset, root, size, workers, data, pixels | division)


def _verify(name: str, workers: int | None, data: Path | None) -> None:
    """Check the store of one dataset and print the differences; exit 1 if there are any."""
    from vireid_cli.commands import console

    console.print_differences(make_engine("cpu", data=data).verify(name, workers=workers))
    console.print_line(f"{name}: all prepared images match their hashes")


def _prepare(
    name: str,
    root: Path | None,
    size: str,
    workers: int | None,
    data: Path | None,
    options: dict[str, Any],
) -> None:
    """Prepare one dataset and print a summary; ``options`` are those of ``Engine.prepare``."""
    from vireid_cli.commands import console

    pixels, engine = parse_size(size), make_engine("cpu", data=data)
    prepared = engine.prepare(name, pixels, root=root, workers=workers, **options)
    for line in summary_lines(prepared):
        console.print_line(line)
    console.print_paths([prepared.store.folder])
    console.print_next(console.command_line(*_next_words(name, prepared), data=data))


def _next_words(name: str, prepared: Prepared) -> list[str]:
    """Words of the next command: a training, or an evaluation if the dataset has no training images."""
    trial = _training_trial(prepared.store.records)
    if trial is None:
        return ["evaluate", "--dataset", name]
    return ["train", "--recipe", *_training(name), *(["--set", f"data.trial={trial}"] if trial > 1 else [])]


def _training_trial(records: RecordTable) -> int | None:
    """First trial with training images, 1 for a dataset with a single split; None without such images.

    An occluded RegDB has images in one trial only.
    """
    tables = map(records.in_trial, range(1, records.trials + 1)) if records.trials else [records]
    return next((trial for trial, table in enumerate(tables, 1) if "train" in table.splits), None)


def _training(name: str) -> list[str]:
    """Suggested recipe and options for training on a dataset."""
    # The quickstart's batch has more people than Oulu-CASIA's training set.
    if name in ("oulu", "buaa"):
        return [f"fdnm-{name}.yaml"]
    return ["quickstart.yaml"] if name == "sysu" else ["quickstart.yaml", "--dataset", name]


def summary_lines(prepared: Prepared) -> list[str]:
    """Summarize a preparation: images per camera, notes, skipped images, and speed, one line each."""
    lines: list[str] = []
    if prepared.report is not None:
        for count in prepared.report.counts:
            expected = f" (expected {count.expected:,})" if count.differs else ""
            lines.append(
                f"camera {count.camid}  {count.modality:8}  {count.split:5}  "
                f"{count.identities:4} identities  {count.images:6,} images{expected}"
            )
        lines += [f"note: {note}" for note in prepared.report.notes]
    lines += [f"skipped, unreadable: {path}" for path in prepared.bad]
    total = f"{counted(prepared.images, 'image')} in {prepared.seconds:.1f} s"
    if prepared.rate:
        total += f", {prepared.rate:.0f} images/s decoded"
    if prepared.damaged:
        total += f", {prepared.damaged} damaged images repaired"
    if prepared.resumed:
        total += f", {prepared.resumed} from an earlier call"
    return [*lines, total]
