"""D-SELACFP: local attention in the DCT domain, cross-scale features, a shared and a specific branch.

WJIMT 8(7) 2025, doi 10.53469/wjimt.2025.08(07).09. The paper has no equations, no ablation and no code. Its
settings are IDKL's and name two parts without describing them, a "modal purification restorer" and a "modal
consistency guider". Our implementation of both follows IDKL's release. Each reading has a switch
(docs/methods.md#d-selacfp). ``recipes/dselacfp-plain.yaml`` uses neither part.
"""

from __future__ import annotations

from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.methods.dselacfp.network import Dselacfp
from vireid_cli.methods.dselacfp.options import Options
from vireid_cli.recipe.fit import Fit

__all__ = ["FIT", "Dselacfp", "Options", "build"]

FIT = Fit(ends_early=(("last", "layer3"),))


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Dselacfp:
    """Build D-SELACFP's network."""
    return Dselacfp(options, num_identities, backbone)
