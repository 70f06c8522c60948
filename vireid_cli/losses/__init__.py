"""Loss formulas, one function each, from batched tensors to a scalar, without host synchronisation."""
