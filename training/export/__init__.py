"""Writing the artifact: one ONNX file with its spec inside, checked against the network it came from."""
