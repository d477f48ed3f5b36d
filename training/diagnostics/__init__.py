"""What a detector's outputs and its loss say about labels."""
