"""Honest evaluation: pairs, search and swaps, per dataset, with intervals over patients."""
