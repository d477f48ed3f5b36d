"""Official models: where their weights come from and how to know them."""
