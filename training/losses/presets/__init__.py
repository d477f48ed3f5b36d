"""Loss presets."""
