"""Run folders, the interface from training to figures, tables and exports; JSON and NumPy, no torch."""
