"""Servers to compare with, each as its documentation shows it, run in an environment of their own."""
