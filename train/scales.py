"""One predictor over several sizes of a picture, from coarse to fine.

Motion longer than the network can follow is short on a picture of half the size. The same weights
serve all sizes, and each finer one sees what the coarser found, after Tao et al., "Scale-recurrent
Network for Deep Image Deblurring", CVPR 2018 (arXiv 1802.01770), without its recurrent state.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def correct_coarse_to_fine(network: Callable[[Tensor], Tensor], y: Tensor, scales: int) -> Tensor:
    """The correction to ``y`` (N, 3, H, W), of the same shape, found at ``scales`` sizes.

    ``network`` takes (N, 6, h, w), a picture and the correction known so far, and returns a
    correction (N, 3, h, w). Each size is half the one before; H and W are divisible accordingly.
    From the second size on the correction is the mean of what was known and what is found: weights
    trained at one size begin as the average over sizes, which is better than one of them alone.
    """
    pictures = [y]
    for _ in range(scales - 1):
        pictures.append(functional.avg_pool2d(pictures[-1], 2))
    coarsest = pictures.pop()
    # Not torch.zeros_like: its shape would have to be computed in an exported graph.
    correction = network(torch.cat([coarsest, 0.0 * coarsest], dim=1))
    for picture in reversed(pictures):
        known = functional.interpolate(correction, scale_factor=2.0, mode="bilinear")
        found = network(torch.cat([picture, known], dim=1))
        correction = 0.5 * (known + found)
    return correction
