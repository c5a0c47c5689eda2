"""TensorRT engines of a bundle: planned, built, proved, and kept in its ``engines`` directory."""
