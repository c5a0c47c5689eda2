"""Train DvSR: networks, synthetic blur, objective, loop, checkpoints, evaluation."""
