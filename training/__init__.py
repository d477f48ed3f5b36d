"""Fitting, losses, evaluation, diagnosis and export of detectors."""
