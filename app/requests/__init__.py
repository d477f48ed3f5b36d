"""What a request may hold: bodies, options and the type of the answer."""
