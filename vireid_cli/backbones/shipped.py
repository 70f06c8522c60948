"""Trunks that the package contains, pre-trained on rendered people (docs/pretraining.md)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from vireid_cli.errors import UsageError

SHIPPED = "rendered"
"""Value of ``backbone.weights`` that selects a shipped trunk."""

FOLDER = Path(str(resources.files("vireid_cli.backbones") / "trunks"))
"""Folder of the shipped files."""

GUIDE = "docs/pretraining.md"


@dataclass(frozen=True, slots=True)
class Trunk:
    """A shipped file of weights, as ``vireid export backbone`` writes it.

    Attributes:
        network: Name of the residual network.
        width: Its width; see ``BackboneSpec``.
        file: Name of the file in ``FOLDER``.
        sha256: SHA-256 of the file.
    """

    network: str
    width: int
    file: str
    sha256: str

    @property
    def path(self) -> Path:
        """Path of the file."""
        return FOLDER / self.file


TRUNKS: tuple[Trunk, ...] = (
    Trunk(
        "resnet18",
        32,
        "resnet18-w32.safetensors",
        "7389e5daf0df670da4d79961e11b16548bc543ef3e3c2281bf6d3bcbfc02fd62",
    ),
)
"""All shipped trunks."""


def find_trunk(network: str, width: int) -> Trunk:
    """Return the shipped trunk of a network.

    Raises:
        UsageError: No shipped trunk has this network and width; the message lists those that exist.
    """
    for trunk in TRUNKS:
        if (trunk.network, trunk.width) == (network, width):
            return trunk
    shipped = ", ".join(f"{trunk.network} of width {trunk.width}" for trunk in TRUNKS)
    raise UsageError(
        f"backbone.weights: no rendered weights of {network} of width {width} are shipped; "
        + (f"shipped: {shipped}." if shipped else "this version ships none."),
        f"Train one in three stages ({GUIDE}, section 'Training another trunk') and set backbone.weights to "
        "its file. The first stage:\n"
        f"  vireid train --recipe pretrain.yaml --set backbone.name={network} --set backbone.width={width}\n"
        "  vireid export backbone --half --out trunk.safetensors",
    )
