"""Training: from a manifest and a configuration to a weight file."""
