"""Layers of the methods: network input, pooling, necks, heads and the modules of single papers."""
