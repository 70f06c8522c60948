"""The built-in occluders: surfaces in three dimensions, shaded and textured by our own code."""
