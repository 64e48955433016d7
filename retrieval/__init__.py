"""The recognition science: arrays in, arrays out; knows nothing of DICOM, databases or queues."""
