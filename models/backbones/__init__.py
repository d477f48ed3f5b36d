"""Feature extractors; each returns the maps that its networks read, finest first."""
