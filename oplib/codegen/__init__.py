"""Generated files: the C of one network, and ONNX."""
