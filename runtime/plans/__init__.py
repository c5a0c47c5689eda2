"""TensorRT engines in a bundle, as their reader sees them: found, compared, never mistaken."""
