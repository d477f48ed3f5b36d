"""Schedules, averages and normalisation around the optimizer."""
