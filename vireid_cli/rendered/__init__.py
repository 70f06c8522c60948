"""The embedded benchmark: rendered walking people in the layout of SYSU-MM01."""

from vireid_cli.rendered.manifest import RenderOptions, read_manifest
from vireid_cli.rendered.sheet import contact_sheet
from vireid_cli.rendered.tree import RenderedTree, verify_tree, write_tree

__all__ = ["RenderOptions", "RenderedTree", "contact_sheet", "read_manifest", "verify_tree", "write_tree"]
