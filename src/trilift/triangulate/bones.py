"""Lengths of bones, and whether two recordings can show one person."""

import torch
from torch import Tensor


def bone_lengths(poses: Tensor, covariance: Tensor, bones: tuple[tuple[int, int], ...]) -> Tensor:
    """Measure bone lengths over the frames of one person.

    Errors across a bone make it longer: its squared length grows by their variances, which are taken off. (Errors
    along it do not move the median.)

    Parameters
    ----------
    poses, covariance
        (frame, keypoint, 3) and (frame, keypoint, 3, 3), of single frames.
    bones
        Pairs of keypoints.

    Returns
    -------
    Tensor
        (bone,), metres; NaN where a bone was hardly ever seen, or is shorter than the error of its ends.
    """
    parents, children = torch.tensor(bones, device=poses.device).T
    difference = poses[:, parents] - poses[:, children]
    squared = difference.square().sum(-1)
    between = (covariance[:, parents] + covariance[:, children]).to(poses.dtype)
    along = (difference.unsqueeze(-2) @ between @ difference.unsqueeze(-1))[..., 0, 0] / squared
    variance = between.diagonal(dim1=-2, dim2=-1).sum(-1)
    length = (squared - (variance - along)).nanmedian(0).values.clamp(min=0).sqrt()
    measurable = (squared.isfinite().sum(0) >= 10) & (length.square() > variance.nanmedian(0).values)
    return torch.where(measurable, length, torch.nan)


_LONG_BONE = 0.2  # metres: shorter ones are known less well


_SAME_SIZE = 0.035  # of one person in two recordings, bones came out up to 3 % longer


_FEWEST_LONG_BONES = 4


def sizes(lengths: Tensor) -> Tensor:
    """Tell by how much people are larger than the first, from bone lengths that were measured for each.

    Parameters
    ----------
    lengths
        (person, bone), metres; NaN where not known.

    Returns
    -------
    Tensor
        (person,): the median ratio of the long bones; 1 where it is not clear that there is any difference.
    """
    ratio = (lengths / lengths[0]).log()
    ratio = torch.where((lengths > _LONG_BONE) & (lengths[0] > _LONG_BONE), ratio, torch.nan)
    size = ratio.nanmedian(1).values
    number = ratio.isfinite().sum(1)
    # Of the median, from the median deviation of normally distributed values.
    error = 1.25 * 1.48 * (ratio - size[:, None]).abs().nanmedian(1).values / number.sqrt()
    differs = (number >= _FEWEST_LONG_BONES) & (size.abs() > (3 * error).clamp(min=_SAME_SIZE))
    return torch.where(differs, size.exp(), 1.0)
