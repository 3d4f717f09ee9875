"""What each detection says of its camera's and keypoint's error: its distance from where the other views put it."""

from typing import NamedTuple

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras
from trilift.geometry.rig.refit import Camera
from trilift.geometry.triangulation import triangulate_robust

STRETCHES = 16  # of time, within which errors may resemble each other


class Detections(NamedTuple):
    """What the scale of each of some detections depends on.

    Attributes
    ----------
    place
        Of its confidence between the nodes (`place_between`).
    group
        Name of a factor -> (detection,): which of its values applies.
    stretch
        (detection,): number of the stretch of time.
    """

    place: tuple[Tensor, Tensor]
    group: dict[str, Tensor]
    stretch: Tensor

    def variance(self, factors: dict[str, Tensor]) -> Tensor:
        """Give the squared scale (detection,)."""
        level, view, keypoint = (factors[name][self.group[name]] for name in ("level", "view", "keypoint"))
        return (2 * (take_between(factors["confidence"], self.place) + level + view + keypoint)).exp()

    def take(self, chosen: Tensor) -> "Detections":
        above, share = self.place
        group = {name: of_each[chosen] for name, of_each in self.group.items()}
        return Detections((above[chosen], share[chosen]), group, self.stretch[chosen])


class Evidence(NamedTuple):
    """Detections that tell something of their own error.

    Attributes
    ----------
    detections
        Which they are.
    squared
        (detection, 2): squared errors against the other views' points along two directions, px^2.
    of_point
        (detection, 2): variances of those points along the same.
    """

    detections: Detections
    squared: Tensor
    of_point: Tensor

    def leverage(self, factors: dict[str, Tensor]) -> Tensor:
        """Give how far a point follows the detections of each view (view,): 0 not at all, 1 all the way."""
        view, views = self.detections.group["view"], len(factors["view"])
        own = self.detections.variance(factors)[:, None]
        follows = (self.of_point / (own + self.of_point)).mean(1)
        return torch.zeros(views, device=view.device).index_add_(0, view, follows) / view.bincount(minlength=views)


def gather(
    cameras: Cameras,
    pixels: Tensor,
    confidence: Tensor,
    counts: Tensor,
    nodes: Tensor,
    factors: dict[str, Tensor],
) -> Evidence:
    """Compare the detections that count with what the other views say."""
    frame, view, keypoint = counts.nonzero().T
    known = confidence[counts].float()
    group = {
        "level": torch.zeros_like(view),
        "confidence": torch.bucketize(known, (nodes[1:] + nodes[:-1]) / 2),
        "keypoint": keypoint,
        "view": view,
    }
    detections = Detections(place_between(known, nodes), group, frame * STRETCHES // len(counts))
    own = detections.variance(factors)
    scale = torch.full(counts.shape, torch.inf, device=counts.device)
    scale[counts] = own.sqrt()
    squared, of_point = (values[counts] for values in _leave_one_view_out(cameras, pixels, scale))
    tells = squared.isfinite().all(1) & (of_point.mean(1) < 25 * own)
    return Evidence(detections.take(tells), squared[tells], of_point[tells])


def _leave_one_view_out(cameras: Cameras, pixels: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Give squared errors against the other views' points, and the part that is those points' own.

    Both are (frame, view, keypoint, 2), in square pixels: along the direction of the image in which the other views
    know the point least, and across it, where the errors of the point are independent.
    """
    frames, views, keypoints = scale.shape
    others = scale.expand(views, -1, -1, -1).clone()  # first axis: the view that is left out
    each = torch.arange(views, device=scale.device)
    others[each, :, each] = torch.inf
    solution = triangulate_robust(cameras, pixels.repeat(views, 1, 1, 1), others.flatten(0, 1))
    cameras, poses = cameras.to(solution.poses), solution.poses.reshape(views, -1, 3)
    seen = [Camera.of(cameras, view).linearise(poses[view]) for view in range(views)]
    projected, _, slopes = (torch.stack(values) for values in zip(*seen, strict=True))
    in_front = (poses @ cameras.R[:, 2, :, None] + cameras.t[:, 2, None, None]) > 0
    error = torch.where(in_front, projected, torch.nan) - pixels.transpose(0, 1).reshape(views, -1, 2)
    covariance = slopes @ solution.covariance.reshape(views, -1, 3, 3).to(slopes) @ slopes.mT
    xx, xy, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    middle, half = (xx + yy) / 2, torch.hypot((xx - yy) / 2, xy)
    angle = torch.atan2(2 * xy, xx - yy) / 2
    axis = torch.stack([angle.cos(), angle.sin()], -1)
    along, across = (error * axis).sum(-1), error[..., 0] * axis[..., 1] - error[..., 1] * axis[..., 0]

    def by_frame(first: Tensor, second: Tensor) -> Tensor:
        both = torch.stack([first, second], -1).to(scale.dtype)
        return both.reshape(views, frames, keypoints, 2).transpose(0, 1)

    return by_frame(along.square(), across.square()), by_frame(middle + half, (middle - half).clamp(min=0))


def place_between(x: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Give the node above x, and how far x is on the way there from the one below; constant beyond the nodes."""
    if len(nodes) == 1:
        return torch.zeros_like(x, dtype=torch.long), torch.ones_like(x)
    above = torch.searchsorted(nodes, x.contiguous()).clamp_(1, len(nodes) - 1)
    below = nodes[above - 1]
    return above, ((x - below) / (nodes[above] - below)).clamp_(0, 1)


def take_between(values: Tensor, place: tuple[Tensor, Tensor]) -> Tensor:
    """Interpolate linearly between the values at nodes."""
    above, share = place
    return torch.lerp(values[(above - 1).clamp_(min=0)], values[above], share)
