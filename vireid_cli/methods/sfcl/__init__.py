"""SFCL: spatial-frequency collaborative learning for occluded visible-infrared ReID (docs/methods.md#sfcl).

AGW's network computes a spatial map X. CFAM maps the spectra of a visible and an infrared map to aligned
maps O. SFIM combines X and O into the feature. FAD adds a contrastive loss between the O of both modalities
and a semantic consistency of the feature's neighbours. The paper has no public code; each point that it
leaves open is our reading and has a switch.

**Pairs.** A pair is a visible and an infrared image of one identity. A query must not use a partner.
Therefore training uses two paths with shared weights: ``cross`` (true pairs) and ``self`` (each image is
its own partner, and no tokens are transported). Testing uses ``self``. Each batch norm processes both paths
in one call (docs/methods.md#sfcl-pairs-and-paths).
"""

from __future__ import annotations

from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.methods.sfcl.network import Sfcl
from vireid_cli.methods.sfcl.options import Options
from vireid_cli.recipe.fit import Fit

__all__ = ["FIT", "Options", "Sfcl", "build"]

FIT = Fit(second_view=("caj_views", 2), exchange=True, exchange_visible=("caj_views", 1))


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Sfcl:
    """Build SFCL's network."""
    return Sfcl(options, num_identities, backbone)
