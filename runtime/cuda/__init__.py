"""The sampler's loop on an NVIDIA GPU: memory, one stream, kernels, and CUDA graphs."""
