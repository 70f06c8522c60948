"""SFCL: spatial-frequency collaborative learning for occluded visible-infrared ReID (docs/methods.md#sfcl).

AGW's network gives a spatial map X. CFAM turns the spectra of a pair of maps, one a modality, into
aligned maps O; SFIM joins X and O into the feature; FAD adds a contrast of the O of both modalities and a
semantic consistency of the feature's neighbours. No code of the paper is public: what it leaves open is
our reading, with a switch each.

**Pairs.** A pair is a visible and an infrared image of one identity; a query has no partner that it may
see. So the network is trained on two paths with shared weights, ``cross`` (true pairs) and ``self`` (each
image as its own partner, nothing transported), and tests on ``self``. Both paths go through every batch
norm in one call (docs/methods.md#sfcl-pairs-and-paths).
"""

from __future__ import annotations

from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.methods import Fit
from vireid_cli.methods.sfcl.network import Sfcl
from vireid_cli.methods.sfcl.options import Options

__all__ = ["FIT", "Options", "Sfcl", "build"]

FIT = Fit(second_view=("caj_views", 2), exchange=True)


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Sfcl:
    """SFCL's network."""
    return Sfcl(options, num_identities, backbone)
