"""FDNM: frequency-domain nuances mining (docs/methods.md#fdnm).

Each modality has its own stem; layers 1–4 are shared. AGP scales phases under the guidance of amplitudes
after chosen stages. ANM replaces the last map by two maps with learned amplitudes. Each of the two has a
global feature and four horizontal parts; a part's neck and classifier serve both branches and both
modalities. Identity and triplet losses act on all of these features, the centre-guided nuances-mining loss
on the centres of both branches. Each point that the paper leaves open is marked as our reading and has a
switch.
"""

from __future__ import annotations

from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.methods.fdnm.network import Fdnm
from vireid_cli.methods.fdnm.options import Options

__all__ = ["Fdnm", "Options", "build"]


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Fdnm:
    """Build FDNM's network."""
    return Fdnm(options, num_identities, backbone)
