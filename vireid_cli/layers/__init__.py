"""Layers that several methods share: pixels to network input, pooling, necks, heads."""
