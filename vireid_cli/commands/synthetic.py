"""``vireid prepare synthetic``: render the rendered benchmark."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import (
    DataDir,
    Device,
    Workers,
    expanded,
    finite,
    make_engine,
    parse_size,
    refuse_without_effect,
)
from vireid_cli.counts import counted
from vireid_cli.dial_defaults import DIALS


class LayoutName(StrEnum):
    """Dataset with the folder layout to render."""

    sysu = "sysu"
    regdb = "regdb"
    llcm = "llcm"


Layout = Annotated[
    LayoutName,
    typer.Option(help="sysu: six cameras; regdb: visible-thermal pairs; llcm: nine cameras at night."),
]
Ids = Annotated[
    int | None,
    typer.Option(min=8, max=99_999, help="Total number of identities.", show_default="of the demo"),
]
MoreTestIds = Annotated[
    int,
    typer.Option(min=0, help="Test identities in addition to those of --ids; all other files stay the same."),
]
Images = Annotated[
    int | None,
    typer.Option(min=1, max=100, help="Images per identity and camera.", show_default="of the demo"),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed; determines every byte.")]
CropSize = Annotated[
    str | None,
    typer.Option(help="Nominal crop size HEIGHTxWIDTH; crops vary around it.", show_default="of the demo"),
]
Root = Annotated[
    Path | None,
    typer.Option(help="Folder to write.", show_default="<data>/rendered/<dataset>", callback=expanded),
]
Gap = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Modality gap: 1 as measured, 0 infrared of people follows luminance; not of regdb.",
        callback=finite,
    ),
]
Occlusion = Annotated[
    float, typer.Option(min=0, max=1, help="Probability of an object in front of a person.", callback=finite)
]
Pose = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Variation of direction and posture: 0 none, 1 doubled.", callback=finite
    ),
]
Noise = Annotated[float, typer.Option(min=0, max=1, help="Sensor noise: 0 none, 1 doubled.", callback=finite)]
Verify = Annotated[bool, typer.Option("--verify", help="Compare the files with their hashes.")]

RENDER_OPTIONS = ("ids", "more_test_ids", "images", "seed", "size", *DIALS, "workers", "device")
"""Options of ``synthetic`` for rendering."""


def synthetic(
    context: typer.Context,
    layout: Layout = LayoutName.sysu,
    ids: Ids = None,
    more_test_ids: MoreTestIds = 0,
    images: Images = None,
    seed: Seed = 0,
    size: CropSize = None,
    root: Root = None,
    gap: Gap = DIALS["gap"],
    occlusion: Occlusion = DIALS["occlusion"],
    pose: Pose = DIALS["pose"],
    noise: Noise = DIALS["noise"],
    verify: Verify = False,
    workers: Workers = None,
    device: Device = "auto",
    data: DataDir = None,
) -> None:
    """Render the rendered benchmark: walking people, in the layout of SYSU-MM01, RegDB or LLCM.

    The dials --gap, --occlusion, --pose and --noise keep the people and all random draws.

    Needs no download and no access request. After an interruption, the same command renders only the missing
    and damaged files.

    Example: vireid prepare synthetic --layout regdb --ids 120
    """
    from vireid_cli.commands import console
    from vireid_cli.rendered.layouts import load_layout
    from vireid_cli.rendered.options import RenderOptions

    if verify:
        refuse_without_effect(context, "--verify renders nothing", *RENDER_OPTIONS)
        console.print_differences(make_engine("cpu", data=data).verify_rendered(layout.value, root))
        console.print_line("all files match their hashes")
        return
    values = {
        "ids": ids,
        "more_test_ids": more_test_ids,
        "images": images or load_layout(layout.value).images,
        "size": parse_size(size) if size else None,
        "layout": layout.value,
        "gap": gap,
        "occlusion": occlusion,
        "pose": pose,
        "noise": noise,
    }
    options = RenderOptions(seed=seed, **{key: value for key, value in values.items() if value is not None})  # type: ignore[arg-type]
    tree = make_engine(device, data=data).synthesize(options, root=root, workers=workers)
    if tree.repaired:
        console.print_line(f"repaired {tree.repaired} damaged or missing files")
    console.print_line(
        f"wrote {tree.root}: {counted(tree.images, 'image')}, content {tree.content_hash[:12]}"
    )
    console.print_next(
        console.command_line("prepare", layout.value, *(["--root", root] if root else []), data=data)
    )
