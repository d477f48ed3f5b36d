"""Comparisons with darknet, for the tests and for ``make parity``."""
