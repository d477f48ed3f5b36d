"""Diagnosis of labels by a detector's outputs and its loss."""
