"""Schedules, averages and normalization around the optimizer."""
