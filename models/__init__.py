"""Detectors: structures, box operations, networks, decoding and suppression. Knows nothing of training or serving."""
