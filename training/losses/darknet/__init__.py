"""Darknet's losses, gradient for gradient."""
