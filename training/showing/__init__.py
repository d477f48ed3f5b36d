"""Images of what each item of the bags does, one a file; ``bags`` writes them all."""
