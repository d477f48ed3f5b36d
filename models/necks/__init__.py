"""Necks: modules between backbone and heads that mix maps of several strides."""
