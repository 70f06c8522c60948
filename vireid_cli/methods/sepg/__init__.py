"""SEPG-Net: spectral enhancement, pseudo anchor-guided bidirectional aggregation (docs/methods.md#sepg-net).

The SEG image (grey level plus phase) replaces the visible image. Both modalities share the stem and layers
1–3. Each modality has its own layer 4 with its own identity loss; in the released code layer 4 also gates
the shared map. The shared map is cut into 12 horizontal chunks with a head each, and PABA aligns the chunks
of the two modalities. If the paper and its released code differ, or the paper is silent, a switch names
both variants. The defaults are the paper's; our readings are marked.
"""

from __future__ import annotations

from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.errors import UsageError
from vireid_cli.methods.sepg.network import SepgNet
from vireid_cli.methods.sepg.options import Options
from vireid_cli.recipe.fit import Fit

__all__ = ["FIT", "Options", "SepgNet", "build"]

FIT = Fit(ends_early=(("gate", False), ("specific_weight", 0.0)))


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> SepgNet:
    """Build SEPG-Net's network.

    Raises:
        UsageError: The gate needs a layer 4 of stride 1.
    """
    if options.gate and backbone.last_stride != 1:
        raise UsageError(
            "method.options.gate: layer 4 gates the map of layer 3, so both maps must have the same size.",
            "--set backbone.last_stride=1, or --set method.options.gate=false",
        )
    return SepgNet(options, num_identities, backbone)
