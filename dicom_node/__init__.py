"""Speaks DICOM: receives, keeps, decodes and sends images."""
