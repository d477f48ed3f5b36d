"""8-bit export: ranges of activations and the quantized graph."""
