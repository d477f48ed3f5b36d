"""The commands, one module each, imported on call."""
