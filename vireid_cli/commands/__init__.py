"""The command line: each command reads its arguments, calls one verb of the engine, prints what came back."""
