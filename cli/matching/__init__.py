"""The parts of `lungprint match`: collections that are encoded, the threshold, and the sheet of the best pairs."""
