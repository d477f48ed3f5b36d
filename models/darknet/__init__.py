"""Networks and weights of darknet: a .cfg becomes a torch module, a .weights file its parameters."""
