"""What mixes the maps of a backbone before the heads."""
