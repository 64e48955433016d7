"""P4: short binary codes that find images with the same findings, beside the methods that its tables compare with."""
