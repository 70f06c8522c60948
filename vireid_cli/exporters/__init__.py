"""Networks and results as files for other programs: one file a format, fed by the engine."""
