"""The run folder: the only bridge from training to figures, tables and exports; JSON and numpy, no torch."""
