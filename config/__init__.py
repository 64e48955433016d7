"""What can be set: typed settings, the commented option file, the data folder and the task queue's names."""
