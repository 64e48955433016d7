"""Measurements of speed, each against a named peer or with a stated unit; results are kept in `results/`."""
