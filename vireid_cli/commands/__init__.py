"""The command line: each command parses its arguments, calls the engine and prints the result."""
