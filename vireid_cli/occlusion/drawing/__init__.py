"""Built-in occluders: shaded and textured surfaces in three dimensions."""
