"""Many pictures at once: which to make, resumed, overlapped, or on a Ray cluster."""
