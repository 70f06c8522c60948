"""One engine: prepares, trains, evaluates, visualizes, exports; knows no method by name."""
