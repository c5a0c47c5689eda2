"""Turn checkpoints into bundles: ONNX graphs that are proved to be the network."""
