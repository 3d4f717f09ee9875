"""How well several people are found: their limbs, their poses, and who is who over time.

People are rows of an array (frame, person, joint, 3), metres; NaN is missing, and who is not there is all NaN. The
rows of `predicted` and `reference` need not correspond: each function says how it pairs them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

Array = np.ndarray
End = tuple[str, ...]

SHELF_JOINTS = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    *("neck", "head_top"),
)
"""The joints of the references of Shelf and Campus, in their order; `neck` is their bottom of the head."""

SHELF_PARTS: dict[str, tuple[End, End]] = {
    "right_lower_leg": (("right_ankle",), ("right_knee",)),
    "right_upper_leg": (("right_knee",), ("right_hip",)),
    "left_upper_leg": (("left_hip",), ("left_knee",)),
    "left_lower_leg": (("left_knee",), ("left_ankle",)),
    "right_lower_arm": (("right_wrist",), ("right_elbow",)),
    "right_upper_arm": (("right_elbow",), ("right_shoulder",)),
    "left_upper_arm": (("left_shoulder",), ("left_elbow",)),
    "left_lower_arm": (("left_elbow",), ("left_wrist",)),
    "head": (("neck",), ("head_top",)),
    "torso": (("right_hip", "left_hip"), ("neck",)),
}
"""The ten parts that PCP is over on Shelf and Campus: the joints whose mean each of their two ends is."""


def mean_distance(predicted: Array, reference: Array) -> Array:
    """Mean distance of the joints of every predicted person from those of every person of the reference, unaligned.

    Parameters
    ----------
    predicted, reference
        (frame, person, joint, 3).

    Returns
    -------
    numpy.ndarray
        (frame, predicted person, person of the reference), in their unit: over the joints that both have; infinite
        where these are fewer than half of the reference's, so that a stray limb is nobody.

    Examples
    --------
    >>> reference = np.zeros((1, 2, 4, 3))
    >>> reference[0, 1] += [3, 4, 0]
    >>> mean_distance(reference[:, :1], reference)
    array([[[0., 5.]]])
    """
    shape = len(reference), predicted.shape[1], reference.shape[1]
    total, shared = np.zeros(shape), np.zeros(shape, int)
    for joint in range(reference.shape[2]):  # not all at once, which would take many times the memory
        distance = np.linalg.norm(predicted[:, :, None, joint] - reference[:, None, :, joint], axis=-1)
        known = np.isfinite(distance)
        total += np.where(known, distance, 0)
        shared += known
    known_reference = np.isfinite(reference).all(-1).sum(-1)[:, None]
    return np.where(2 * shared >= np.maximum(known_reference, 1), total / np.maximum(shared, 1), np.inf)


def correct_parts(
    predicted: Array,
    reference: Array,
    joints: Sequence[str] = SHELF_JOINTS,
    parts: Mapping[str, tuple[End, End]] = SHELF_PARTS,
    alpha: float = 0.5,
    strict: bool = False,
) -> Array:
    """Tell which body parts are correct (PCP, the percentage of correct parts, as Shelf and Campus define it).

    A person of the reference is compared with the predicted one that is nearest by `mean_distance`, at whatever
    distance, which may be the nearest of several people. A part is correct if the mean distance of its two ends is at
    most `alpha` times its length in the reference. Where a predicted end is missing, or nobody is predicted, it is
    wrong.

    Parameters
    ----------
    predicted, reference
        (frame, person, joint, 3). The rows of the reference are actors, each a person from beginning to end.
    joints
        Names of the joints.
    parts
        The joints whose mean each of the two ends is.
    alpha
        Share of the length.
    strict
        Ask of each end to lie within that distance, and not of their mean.

    Returns
    -------
    numpy.ndarray
        (frame, actor, part): 1 where correct, 0 where wrong, NaN where the reference does not tell.

    Notes
    -----
    V. Belagiannis et al., "3D pictorial structures for multiple human pose estimation", CVPR 2014, who measure frames
    350-470 and 650-750 of Campus and 300-600 of Shelf. The rule by the mean of both ends, with the ten parts and the
    nearest person, is that of the evaluations that J. Dong et al. (CVPR 2019) and H. Tu et al. (ECCV 2020) published
    with their code. `strict` is the rule of V. Ferrari et al. (CVPR 2008), as L. Pishchulin et al. (CVPR 2012) state
    it.
    """
    nearest = mean_distance(predicted, reference)
    if predicted.shape[1]:
        chosen = np.take_along_axis(predicted, nearest.argmin(1)[..., None, None], 1)
        chosen[np.isinf(nearest).all(1)] = np.nan
    else:
        chosen = np.full_like(reference, np.nan)
    index = {name: number for number, name in enumerate(joints)}
    ends = [[[index[name] for name in end] for end in part] for part in parts.values()]
    true, found = (
        np.stack([np.stack([poses[..., end, :].mean(-2) for end in part], -2) for part in ends], -3)
        for poses in (reference, chosen)
    )  # (frame, actor, part, end, 3)
    length = np.linalg.norm(true[..., 0, :] - true[..., 1, :], axis=-1)
    error = np.linalg.norm(found - true, axis=-1)
    correct = (error.max(-1) if strict else error.mean(-1)) <= alpha * length
    return np.where(np.isfinite(length), correct.astype(float), np.nan)


def pcp(correct: Array) -> tuple[float, Array]:
    """Average correct parts (frame, actor, part) as Shelf and Campus do.

    Returns
    -------
    mean, of_actors
        Percent: of each actor (actor,), over all of its parts in all frames, and the mean over the actors, each
        counting the same. Published numbers are of the first three actors (Shelf's fourth is hardly there): leave out
        the others.

    Examples
    --------
    >>> pcp(np.array([[[1.0, 0.0], [1.0, 1.0]], [[1.0, 1.0], [np.nan, np.nan]]]))
    (87.5, array([ 75., 100.]))
    """
    known = np.isfinite(correct)
    counted = known.sum((0, 2))
    of_actors = np.full(correct.shape[1], np.nan)
    np.divide(100.0 * np.where(known, correct, 0).sum((0, 2)), counted, out=of_actors, where=counted > 0)
    return float(of_actors[counted > 0].mean()) if counted.any() else float("nan"), of_actors


def detection_measures(
    distance: Array,
    in_predicted: Array,
    in_reference: Array,
    score: Array | None = None,
    ap_within: Sequence[float] = (0.025, 0.05, 0.075, 0.1, 0.125, 0.15),
    recall_within: float = 0.5,
) -> dict[str, float]:
    """Measure who is found, frame by frame, as on CMU Panoptic: average precision, recall and MPJPE at distances.

    Each predicted person stands for the nearest of the reference. In the order of their scores (of equal ones the
    nearer first) people of the reference are taken by the first prediction nearer than the threshold; all other
    predictions are false.

    Parameters
    ----------
    distance
        (frame, predicted person, person of the reference), metres: `mean_distance`.
    in_predicted, in_reference
        (frame, person) bool: who is there.
    score
        (frame, predicted person): how sure a prediction is. Without it all are equally sure; the curve of precision
        over recall is then one point, and the average precision their product.
    ap_within, recall_within
        Thresholds in metres.

    Returns
    -------
    dict
        ``ap_25mm_percent`` and so on, ``recall_500mm_percent``, ``precision_500mm_percent``, and ``mpjpe_500mm_mm``,
        the mean over all taken.

    Notes
    -----
    H. Tu et al., "VoxelPose: Towards multi-camera 3D human pose estimation in wild environment", ECCV 2020, and its
    published code. As there, precision is made to fall monotonically with recall before the area is taken. Their
    reference is at 15 joints, the predictions' scores are those of the network.
    """
    frame, person = np.nonzero(in_predicted & (distance.shape[2] > 0))
    to_all = np.where(in_reference[frame], distance[frame, person], np.inf)
    nearest = to_all.argmin(1) if len(frame) else np.zeros(0, int)
    of_prediction = to_all[np.arange(len(frame)), nearest]
    target = frame * max(distance.shape[2], 1) + nearest
    sure = np.zeros(len(frame)) if score is None else score[frame, person]
    order = np.lexsort((of_prediction, -sure))
    of_prediction, target, sure = of_prediction[order], target[order], sure[order]
    number, people = int(in_predicted.sum()), int(in_reference.sum())

    def taken(within: float) -> Array:
        near = np.flatnonzero(of_prediction < within)
        return near[np.unique(target[near], return_index=True)[1]]

    def average_precision(within: float) -> float:
        hit = np.zeros(len(order), bool)
        hit[taken(within)] = True
        last = np.flatnonzero(np.diff(sure, append=np.nan) != 0)  # equal scores are one point of the curve
        hits = hit.cumsum()[last]
        precision = np.maximum.accumulate((hits / (last + 1))[::-1])[::-1]
        return float((np.diff(hits / people, prepend=0) * precision).sum())

    found = taken(recall_within)
    of_found = of_prediction[found]
    at = f"{1000 * recall_within:g}mm"
    if not people:
        aps = dict.fromkeys(ap_within, float("nan"))
    else:
        aps = {within: 100 * average_precision(within) for within in ap_within}
    return {f"ap_{1000 * within:g}mm_percent": value for within, value in aps.items()} | {
        f"recall_{at}_percent": _percent(len(found), people),
        f"precision_{at}_percent": _percent(len(found), number),
        f"mpjpe_{at}_mm": 1000 * float(of_found.mean()) if len(found) else float("nan"),
    }


def tracking_measures(
    distance: Array, in_predicted: Array, in_reference: Array, within: float = 0.5
) -> dict[str, float]:
    """Measure who is who over time, where the rows of predicted people are tracks: MOTA, identity switches, IDF1.

    For MOTA, people are matched frame by frame: with the track with which they were matched last, however long ago,
    if it is there and near enough; of the others as many as possible are matched, with the least sum of distances. A
    switch is a person of the reference who is matched with another track than the last time. For IDF1, each person of
    the reference has one track for all time, so that the frames in which both are near enough are as many as can be.

    Parameters
    ----------
    distance
        (frame, track, person of the reference): `mean_distance`; for known matches 0 for these, infinite for others.
    in_predicted, in_reference
        (frame, person) bool: who is there.
    within
        The largest distance of a match, in the unit of `distance`.

    Returns
    -------
    dict
        ``mota_percent``: 100 less misses, false ones and switches in percent of the reference's people over all
        frames; below 0 where they are more. ``idf1_percent``: twice the frames that fit in percent of all, predicted
        and of the reference. ``missed``, ``false`` and ``identity_switches`` are numbers.

    Notes
    -----
    K. Bernardin, R. Stiefelhagen, "Evaluating multiple object tracking performance: the CLEAR MOT metrics", EURASIP
    Journal on Image and Video Processing 2008. E. Ristani et al., "Performance measures and a data set for
    multi-target, multi-camera tracking", ECCV Workshops 2016.

    Examples
    --------
    Two people are exchanged for the last of three frames:

    >>> same, there = np.where(np.eye(2), 0, np.inf), np.ones((3, 2), bool)
    >>> measured = tracking_measures(np.stack([same, same, same[::-1]]), there, there)
    >>> measured["identity_switches"], round(measured["idf1_percent"], 1)
    (2, 66.7)
    """
    near = (distance <= within) & in_predicted[:, :, None] & in_reference[:, None]
    matched, switches = 0, 0
    last = np.full(in_reference.shape[1], -1)  # the track with which each person was matched last
    for frame in np.flatnonzero(near.any((1, 2))):
        kept = np.flatnonzero(last >= 0)
        kept = kept[near[frame, last[kept], kept]]
        kept = kept[np.unique(last[kept], return_index=True)[1]]  # where two were matched with a track, the first
        now = np.full(len(last), -1)
        now[kept] = last[kept]
        free = near[frame].copy()
        free[now[kept]] = free[:, kept] = False
        # A match outweighs all distances together: first as many as possible, then the nearest.
        cost = np.where(free, np.where(free, distance[frame], 0) - (min(free.shape) + 1.0) * max(within, 1.0), 0.0)
        tracks, people = linear_sum_assignment(cost)
        found = free[tracks, people]
        now[people[found]] = tracks[found]
        seen = now >= 0
        matched += int(seen.sum())
        switches += int((seen & (last >= 0) & (last != now)).sum())
        last[seen] = now[seen]
    predicted_in_all, reference_in_all = int(in_predicted.sum()), int(in_reference.sum())
    missed, false = reference_in_all - matched, predicted_in_all - matched
    together = near.sum(0)
    fit = int(together[linear_sum_assignment(together, maximize=True)].sum())
    return {
        "mota_percent": 100 - _percent(missed + false + switches, reference_in_all),
        "idf1_percent": _percent(2 * fit, predicted_in_all + reference_in_all),
        "identity_switches": switches,
        "missed": missed,
        "false": false,
    }


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else float("nan")
