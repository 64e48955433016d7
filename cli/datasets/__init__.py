"""The parts of `lungprint dataset`: where images come from, pseudonyms, and what was made of them."""
