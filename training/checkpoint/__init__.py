"""Checkpoints: their files, the network inside, and resuming."""
