"""Audit jobs: a queue in a database, archives of data sets, and the process that works on them."""
