"""From detections alone to the poses of all cameras: start, adjustment, the world's axes, how sure that is."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from trilift.geometry.calibration import verdicts
from trilift.geometry.calibration.certainty import certainty
from trilift.geometry.calibration.clocks import clocks
from trilift.geometry.calibration.findings import Rig, Scale, Undetermined
from trilift.geometry.calibration.refine import onto
from trilift.geometry.calibration.sample import Recorded
from trilift.geometry.calibration.start import Placed
from trilift.geometry.calibration.work import Guess, Solved, Work
from trilift.geometry.calibration.world import settle
from trilift.geometry.cameras import Cameras
from trilift.project import threads
from trilift.skeletons import Skeleton

MAX_OFFSET_S = 2.0
"""How late or early views may be, unless it is stated."""

_STRETCH_S = 0.5  # errors of a detector resemble each other less long
_CONTRADICTED = 0.6  # of a view's detections: it is no view of these people


@threads.apart()
def calibrate(
    cameras: Cameras,
    pixels: Tensor,
    confidence: Tensor,
    skeleton: Skeleton,
    fps: float,
    *,
    scale: Scale | None,
    image_size: Tensor,
    segments: Tensor | None = None,
    focal_groups: Sequence[int] = (),
    max_offset_s: float = MAX_OFFSET_S,
    find_offsets: bool = True,
    refine: bool = False,
    names: Sequence[str] = (),
    progress: Callable[[str], None] = lambda doing: None,
) -> Rig:
    """Place cameras by the people that they see.

    Parameters
    ----------
    cameras
        ``K`` and ``distortion`` are used; where the focal length is sought, ``K`` holds a first guess. ``R`` and
        ``t`` count only where a rig is refined.
    pixels
        (frame, view, keypoint, 2), as detected (distorted), of one person in each frame; NaN is missing.
    confidence
        (frame, view, keypoint); 0 does not count.
    skeleton
        Layout of the keypoints.
    fps
        Frames per second.
    scale
        The length that gives the size; None where a rig is refined, which has one.
    image_size
        (view, 2): width and height, px.
    segments
        (frame,) integers: frames of equal number are consecutive in time. By default all are.
    focal_groups
        Per view: -1 where the focal length is known, else a number; views of one number share it.
    max_offset_s, find_offsets
        How late or early views may be, if they may: any two differ by twice that at most.
    refine
        Whether the poses given are nearly right, of most cameras.
    names
        Of the views, for the reasons; by default they are numbered from 1.
    progress
        Is told what is done now.

    Returns
    -------
    Rig
        The cameras, with verdicts.

    Raises
    ------
    Undetermined
        If the detections cannot tell.

    Notes
    -----
    Clocks from how keypoints rise and fall; relative poses of pairs of views by five points, the others by three;
    then bundle adjustment over cameras, clocks, points and lengths of bones, with the error of the detector learnt in
    between. Where a focal length is not known, the start is tried with several.
    """
    views = len(cameras)
    if segments is None:
        segments = torch.zeros(len(pixels), dtype=torch.long)
    confidence = torch.where(pixels.isfinite().all(-1), confidence.double(), 0.0)
    recorded = Recorded(pixels, confidence, segments, fps)
    groups = list(focal_groups) or [-1] * views
    work = Work(recorded, cameras.to(torch.float64), skeleton, groups, image_size.double(), refine, scale)
    names = names or [f"view {view + 1}" for view in range(views)]
    left_out = verdicts.without_use(pixels, confidence, names)
    used = [view for view in range(views) if view not in left_out]
    if len(used) < 2:
        why = "".join(f"; {names[view]} {reason}" for view, reason in left_out.items())
        raise Undetermined(f"fewer than two views see enough of a person{why}")
    tried = [torch.zeros(views, dtype=torch.float64)]
    if find_offsets:
        progress("comparing clocks")
        most = round(2 * max_offset_s * fps)
        seen, sure = pixels[:, used].numpy(), confidence[:, used].numpy()
        found = clocks(seen, sure, segments.numpy(), skeleton, fps, most)
        if found.any():
            tried.append(torch.zeros(views, dtype=torch.float64))
            tried[1][used] = torch.as_tensor(found).double()
    progress("placing cameras")
    guess = min((work.guess(offsets, left_out) for offsets in tried), key=lambda guess: guess.cost)
    if len(guess.placed.views) < 2:
        raise Undetermined(
            "no two views have enough in common: do they see the same person at the same time?"
            + (f" (offsets in time beyond {max_offset_s:g} s are not found)" if find_offsets else "")
        )
    while True:
        progress("adjusting cameras")
        solved = work.adjust(guess, find_offsets)
        outliers = verdicts.outliers(solved.estimate.cameras, solved.observations, guess.placed.views)
        worst = int(outliers.nan_to_num(0.0).argmax())
        if not outliers[worst] > _CONTRADICTED or len(guess.placed.views) <= 2:
            break
        left_out[worst] = verdicts.contradicts(float(outliers[worst]))
        rest = [view for view in guess.placed.views if view != worst]
        guess = replace(guess, placed=Placed(solved.estimate.cameras, rest), late=solved.late)
    return _report(work, solved, guess, outliers, left_out, scale)


def _report(
    work: Work, solved: Solved, guess: Guess, outliers: Tensor, left_out: dict[int, str], scale: Scale | None
) -> Rig:
    """Settle the world, and judge every camera."""
    estimate, views = solved.estimate, sorted(guess.placed.views)
    K = estimate.cameras.K
    lost = [view for view in range(len(K)) if view not in views]
    R, t = estimate.cameras.R.clone(), estimate.cameras.t.clone()
    R[lost], t[lost] = torch.nan, torch.nan
    cameras = replace(estimate.cameras, R=R, t=t)
    distance = verdicts.distance(cameras[views], estimate.points)
    when = torch.stack([work.recorded.segments[solved.frames], solved.frames], 1)
    when[:, 1] = (when[:, 1] / (_STRETCH_S * work.recorded.fps)).long()
    stretch = when.unique(dim=0, return_inverse=True)[1]
    if work.refine:
        world = onto(cameras, estimate.points, work.cameras, distance)
    else:
        assert scale is not None
        world = settle(cameras, estimate.points, work.skeleton, scale)
    if not verdicts.moves(world.poses, stretch):
        raise Undetermined("nobody moves: record somebody who walks all over the room and reaches up")
    sure = certainty(solved.adjustment, estimate, stretch, distance)
    grown = verdicts.distance(world.cameras[views], world.poses) / distance
    found = verdicts.judge(
        verdicts.Facts(
            cameras=world.cameras,
            before=work.cameras,
            poses=world.poses,
            observations=solved.observations,
            certainty=sure,
            grown=grown,
            late=solved.late - solved.late[views[0]],
            outliers=outliers,
            left_out=left_out,
            flat=verdicts.flat(world.poses, stretch),
            refined=work.refine,
        )
    )
    return Rig(
        world.cameras,
        found,
        solved.frames,
        world.poses,
        grown * sure.points,
        world.stature_m,
        world.problems,
    )
