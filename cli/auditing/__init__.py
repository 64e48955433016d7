"""The audit of the whole archive, step by step."""
