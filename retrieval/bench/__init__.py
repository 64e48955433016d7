"""Published methods and ours behind one interface, measured by one protocol."""
