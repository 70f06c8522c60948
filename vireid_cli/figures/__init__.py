"""Pictures of arrays: one file a figure, one style, no torch; the engine hands the arrays over."""
