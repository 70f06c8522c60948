"""The embedded benchmark: rendered walking people in the layout of SYSU-MM01.

Accuracy of matchers without learning, measured by ``bench.naive.measure_tree`` on the test split of the
default tree (``RenderOptions()``, version 1, seed 0; 76 people, 408 valid queries, all-search, single-shot,
ten draws of the gallery; chance is the expected Rank-1 of a random ranking, 1.34 %):

==========  ======  =====  ============
matcher     Rank-1  mAP    times chance
==========  ======  =====  ============
pixels      2.16 %  4.65 %  1.61
histograms  1.45 %  3.80 %  1.08
HOG         3.19 %  4.87 %  2.38
==========  ======  =====  ============

Over twenty random sets of 76 of the 400 people, the means are 1.90, 1.21 and 2.47 times chance. Pixels and
HOG reach 3.2 times chance on single sets.
"""

from vireid_cli.rendered.manifest import read_manifest
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.tree import RenderedTree, verify_tree, write_tree

__all__ = ["RenderOptions", "RenderedTree", "read_manifest", "verify_tree", "write_tree"]
