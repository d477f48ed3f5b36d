"""Faster variants of a model: which there are, what they cost, and the process that makes them."""
