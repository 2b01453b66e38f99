"""Generated files: the C of a network, and ONNX."""
