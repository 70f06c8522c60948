"""The rendered benchmark: walking people in the layout of SYSU-MM01.

Accuracy of matchers without learning, measured by ``bench.naive.measure_tree`` on the test split of the
default tree (``RenderOptions()``, version 2, seed 0; 76 people, 408 valid queries, all-search, single-shot,
ten draws of the gallery; chance is the expected Rank-1 of a random ranking, 1.34 %):

==========  ======  =====  ============
matcher     Rank-1  mAP    times chance
==========  ======  =====  ============
pixels      2.30 %  4.58 %  1.72
histograms  1.05 %  3.44 %  0.79
HOG         4.88 %  5.76 %  3.64
==========  ======  =====  ============

Over twenty random sets of 76 of the 400 people, the means are 1.91, 1.02 and 3.12 times chance, and the
largest values 2.7, 1.5 and 4.1.
"""

from vireid_cli.rendered.manifest import read_manifest
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.tree import RenderedTree, verify_tree, write_tree

__all__ = ["RenderOptions", "RenderedTree", "read_manifest", "verify_tree", "write_tree"]
