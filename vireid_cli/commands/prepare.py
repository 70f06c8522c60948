"""``vireid prepare``: the embedded benchmark, and datasets into the prepared store."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vireid_cli.commands.options import DataDir, Device, make_engine, parse_size, refuse_idle

if TYPE_CHECKING:
    from vireid_cli.data.prepare import Prepared

app = typer.Typer(
    no_args_is_help=True,
    help="Render the embedded benchmark, or read a dataset into the prepared store.\n\n"
    "Example: vireid prepare synthetic && vireid prepare sysu",
)

Workers = Annotated[int | None, typer.Option(min=1, help="Processes or threads.", show_default="all cores")]


class LayoutName(StrEnum):
    """Whose layout is rendered."""

    sysu = "sysu"
    regdb = "regdb"
    llcm = "llcm"


class ResizeName(StrEnum):
    """Rule by which images are resized; see ``types.Resize``."""

    lanczos = "lanczos"
    bicubic = "bicubic"


RENDER_OPTIONS = ("ids", "images", "seed", "size", "workers", "device")
"""Options of ``synthetic`` that determine the images and how they are made."""


@app.command()
def synthetic(
    context: typer.Context,
    layout: Annotated[
        LayoutName, typer.Option(help="Six cameras; visible and thermal pairs; nine places at night.")
    ] = LayoutName.sysu,
    ids: Annotated[
        int | None, typer.Option(min=8, max=533, help="Identities in all.", show_default="the demo's")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Images an identity and camera.", show_default="the demo's"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    size: Annotated[
        str | None,
        typer.Option(help="Nominal crop size HEIGHTxWIDTH; crops vary around it.", show_default="the demo's"),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder to write.", show_default="<data>/rendered/<dataset>")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check the tree against its hashes.")] = False,
    workers: Workers = None,
    device: Device = "auto",
    data: DataDir = None,
) -> None:
    """Render the embedded benchmark: walking people, in the layout of SYSU-MM01, RegDB or LLCM.

    Needs no download and no access request. An interrupted run continues; damaged files are rendered again.

    Example: vireid prepare synthetic --layout regdb --ids 120
    """
    from vireid_cli.commands import console
    from vireid_cli.rendered.layouts import load_layout
    from vireid_cli.rendered.options import RenderOptions

    if verify:
        refuse_idle(context, "--verify checks a tree as it was written", *RENDER_OPTIONS)
        _print_differences(make_engine("cpu", data=data).verify_rendered(layout.value, root))
        console.print_line("every file is as it was rendered")
        return
    given = {
        "ids": ids,
        "images": images or load_layout(layout.value).images,
        "size": parse_size(size) if size else None,
        "layout": layout.value,
    }
    options = RenderOptions(seed=seed, **{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
    tree = make_engine(device, data=data).synthesize(options, root=root, workers=workers)
    if tree.repaired:
        console.print_line(f"{tree.repaired} damaged or missing files were written again")
    console.print_line(f"wrote {tree.root}: {tree.images} images, content {tree.content_hash[:12]}")
    console.print_next(console.line("prepare", layout.value, *(["--root", root] if root else []), data=data))


DATASETS = {
    "sysu": "Read SYSU-MM01 (or the rendered benchmark in its layout) into the prepared store.",
    "regdb": "Read RegDB (or the rendered benchmark in its layout), with its ten trials.",
    "llcm": "Read LLCM (or the rendered benchmark in its layout).",
    "oulu": "Read Oulu-CASIA NIR-VIS; writes faces/{train,gallery,probe}.txt where they are absent.",
    "buaa": "Read BUAA-VisNir; writes faces/{train,gallery,probe}.txt where they are absent.",
    "folder": "Read your own images: {train,query,gallery}/{visible,infrared}/<pid>/, or a records.csv.",
    "occ-sysu": "Read an occluded SYSU-MM01, as `vireid prepare occluded` wrote it.",
    "occ-regdb": "Read an occluded RegDB, as `vireid prepare occluded` wrote it.",
    "occ-llcm": "Read an occluded LLCM, as `vireid prepare occluded` wrote it.",
}
"""Each source's command, with the first line of its help."""


def _add(name: str, about: str) -> None:
    """Make the command of one source; all take the same options."""
    listed = "Images in another layout: a list records.csv at the root (path,pid,camid,modality,split)."

    @app.command(name, help=f"{about}\n\n{listed}\n\nExample: vireid prepare {name} --root /datasets/{name}")
    def command(
        context: typer.Context,
        root: Annotated[
            Path | None,
            typer.Option(
                help="The dataset's folder.", show_default="under <data>, else the rendered one there"
            ),
        ] = None,
        size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of the stored pixels.")] = "288x144",
        resize: Annotated[
            ResizeName, typer.Option(help="Resampling filter; a recipe names it as data.resize.")
        ] = ResizeName.lanczos,
        depth: Annotated[
            str | None,
            typer.Option(
                help="16-bit images: auto (one range a modality, measured), full (÷ 256) or LOW:HIGH.",
                show_default="the store's, else auto",
            ),
        ] = None,
        exif: Annotated[
            bool | None,
            typer.Option(
                "--exif/--no-exif",
                help="Turn images as their EXIF orientation says.",
                show_default="the store's, else on for folder only",
            ),
        ] = None,
        skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out.")] = False,
        verify: Annotated[
            bool,
            typer.Option(
                "--verify", help="Check what was prepared: its hashes, its files, published counts."
            ),
        ] = False,
        workers: Workers = None,
        data: DataDir = None,
    ) -> None:
        if verify:
            idle = ("size", "resize", "depth", "exif", "skip_bad")
            refuse_idle(context, "--verify checks what was prepared", "root", *idle)
            _verify(name, workers, data)
        else:
            pixels = {"resize": resize.value, "depth": depth, "exif": exif, "skip_bad": skip_bad}
            _prepare(name, root, size, workers, data, pixels)


for _name, _about in DATASETS.items():
    _add(_name, _about)


def _verify(name: str, workers: int | None, data: Path | None) -> None:
    """Check the store of one dataset and print what differs; exit 1 where anything does."""
    from vireid_cli.commands import console

    _print_differences(make_engine("cpu", data=data).verify(name, workers=workers))
    console.print_line(f"{name}: every prepared row is as it was written")


def _print_differences(differences: list[str]) -> None:
    """Print differences and repairs; exit 1 where there are any."""
    from vireid_cli.commands import console

    for line in differences:
        console.print_line(line)
    if differences:
        raise typer.Exit(1)


def _prepare(
    name: str,
    root: Path | None,
    size: str,
    workers: int | None,
    data: Path | None,
    options: dict[str, Any],
) -> None:
    """Prepare one dataset and print what was found; ``options`` are those of ``Engine.prepare``."""
    from vireid_cli.commands import console

    pixels, engine = parse_size(size), make_engine("cpu", data=data)
    done = engine.prepare(name, pixels, root=root, workers=workers, **options)
    for line in summary_lines(done):
        console.print_line(line)
    console.print_paths([done.store.folder])
    console.print_next(console.line("train", "--recipe", *_training(name), data=data))


def _training(name: str) -> list[str]:
    """What trains on a dataset: of faces the quickstart's batch has more people than Oulu-CASIA."""
    if name in ("oulu", "buaa"):
        return [f"fdnm-{name}.yaml"]
    return ["quickstart.yaml"] if name == "sysu" else ["quickstart.yaml", "--dataset", name]


def summary_lines(prepared: Prepared) -> list[str]:
    """What was found and done, a line each."""
    lines: list[str] = []
    if prepared.found is not None:
        for count in prepared.found.counts:
            expected = f" (expected {count.expected:,})" if count.differs else ""
            lines.append(
                f"camera {count.camid}  {count.modality:8}  {count.split:5}  "
                f"{count.identities:4} identities  {count.images:6,} images{expected}"
            )
        lines += [f"note: {note}" for note in prepared.found.notes]
    lines += [f"left out, unreadable: {path}" for path in prepared.bad]
    done = f"{prepared.images} images in {prepared.seconds:.1f} s"
    if prepared.rate:
        done += f", {prepared.rate:.0f} images/s decoded"
    if prepared.damaged:
        done += f", {prepared.damaged} damaged rows were decoded again"
    if prepared.resumed:
        done += f", {prepared.resumed} were there before"
    return [*lines, done]
