"""Offline tools of trt_perception: export networks to ONNX, evaluate what is deployed."""
