"""Export of a network to ONNX: one file with its spec inside, checked against torch; fp16 and int8."""
