"""Library of semantic occluders, and datasets occluded with it."""
