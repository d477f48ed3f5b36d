"""Drawings of networks, targets and augmented images."""
