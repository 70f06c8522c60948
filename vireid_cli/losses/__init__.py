"""Loss formulas, each in one function: batched tensors in, one scalar out, no host synchronisation."""
