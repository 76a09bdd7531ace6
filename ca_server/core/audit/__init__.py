"""The audit log as values: records, tree, checkpoints, proofs."""
