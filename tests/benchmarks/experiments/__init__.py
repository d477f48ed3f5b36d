"""What each choice in training is worth: runs on one data set that differ in one thing, and their tables."""
