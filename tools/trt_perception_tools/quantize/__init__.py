"""FP16 and INT8 in ONNX graphs."""
