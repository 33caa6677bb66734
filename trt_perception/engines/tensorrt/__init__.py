"""TensorRT on NVIDIA GPUs: builds engines from ONNX files, keeps them in a cache, runs them."""
