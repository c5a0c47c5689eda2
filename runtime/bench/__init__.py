"""Honest latency: what a picture takes on this machine, tails and circumstances included."""
