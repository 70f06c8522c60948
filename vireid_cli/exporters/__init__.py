"""Exporters of networks and results to other programs: one module per format, called by the engine."""
