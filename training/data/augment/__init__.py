"""Augmentations of one or several samples, one a file: pure functions, and frozen callables that draw their arguments.

Every callable takes its randomness from the ``numpy.random.Generator`` it is given, writes into no argument, and is the
identity at strength 0.
"""
