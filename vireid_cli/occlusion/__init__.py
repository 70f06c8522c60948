"""The semantic occlusion library, and the occluded datasets that are made with it."""
