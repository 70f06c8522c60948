"""Data: sources, the prepared store, the P×K sampler, batched augmentation, protocols."""
