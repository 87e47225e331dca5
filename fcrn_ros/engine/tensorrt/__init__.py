"""TensorRT, and TensorRT for RTX: one way through both."""
