"""Trunks of the networks: two-stream ResNets and LightCNN, pretrained weights, folding for inference."""
