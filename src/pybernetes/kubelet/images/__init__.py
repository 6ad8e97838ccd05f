"""Image pulls: policy, back-off, sharing."""
