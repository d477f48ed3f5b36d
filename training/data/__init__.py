"""Data sets: labels, samples and how they are fed to training and scoring."""
