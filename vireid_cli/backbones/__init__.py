"""Trunks of the networks: two-stream ResNets, their pretrained weights, folding for inference."""
