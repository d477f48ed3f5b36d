"""Parsing of requests: bodies, options and the type of the answer."""
