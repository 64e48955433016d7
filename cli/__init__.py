"""The `lungprint` command."""
