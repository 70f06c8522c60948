"""Default values of the renderer's dials. It imports nothing: the command line reads it at start-up."""

DIALS: dict[str, float] = {"gap": 1.0, "occlusion": 0.0, "pose": 0.5, "noise": 0.5}
"""Value of each dial, keyed by its name; they apply to trees with a mark that has no dials."""
