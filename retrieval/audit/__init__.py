"""Everything against everything: which images of a whole gallery seem to carry another person's name."""
