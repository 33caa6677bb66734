"""ONNX graphs: edited, simplified, checked and counted. Knows neither torch nor tasks."""
