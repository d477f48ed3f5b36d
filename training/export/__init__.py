"""Writing the artefact: one ONNX file with its spec inside, checked against the network it came from."""
