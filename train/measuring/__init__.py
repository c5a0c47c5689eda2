"""What measures networks and pictures: metrics, scores, the curve, and networks at work."""
