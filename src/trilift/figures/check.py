import numpy as np
from matplotlib.figure import Figure

from trilift.figures.style import MIDDLE, new_figure, side_colour
from trilift.skeletons import Skeleton

_MOST_ARROWS = 1500


def camera_agreement(
    pixels: np.ndarray, residuals: np.ndarray, image_size: np.ndarray, skeleton: Skeleton, title: str, note: str
) -> Figure:
    """Draw how the detections of one camera lie to what the other cameras see.

    On the left arrows lead from there to the detections: all in one direction mean a moved camera, out from the
    middle a wrong focal length or lens, along the movement a camera out of time. On the right the distances.

    Parameters
    ----------
    pixels, residuals
        (frame, keypoint, 2): the detections, and the detections minus what the other views see.
    image_size
        Width and height in pixels.
    skeleton
        Layout of the keypoints.
    title, note
        What is shown, and where the data come from.
    """
    figure = new_figure(10, 1.5 + 0.17 * len(skeleton), note)
    figure.suptitle(title)
    image, distances = figure.subplots(1, 2, width_ratios=[1.5, 1])
    known = np.argwhere(np.isfinite(residuals).all(-1))
    frame, keypoint = known[:: max(1, -(-len(known) // _MOST_ARROWS))].T
    ends, arrows = pixels[frame, keypoint], residuals[frame, keypoint]
    colours = [side_colour(skeleton.keypoints[index]) for index in keypoint]
    image.quiver(
        *(ends - arrows).T, *arrows.T, color=colours, angles="xy", scale_units="xy", scale=1, width=0.002, alpha=0.6
    )
    image.set(xlim=(0, image_size[0]), ylim=(image_size[1], 0), aspect="equal")
    image.set(xlabel="x (px)", ylabel="y (px)")

    distance = np.linalg.norm(residuals, axis=-1)
    per_keypoint = [values[np.isfinite(values)] for values in distance.T]
    names = [name.replace("_", " ") for name in skeleton.keypoints]
    boxes = distances.boxplot(
        per_keypoint, orientation="horizontal", showfliers=False, tick_labels=names, medianprops={"color": MIDDLE}
    )
    for box, name in zip(boxes["boxes"], skeleton.keypoints, strict=True):
        box.set_color(side_colour(name))
    distances.tick_params(axis="y", labelsize=7)
    distances.set(xlabel="distance from what the other views see (px)", xlim=(0, None))
    distances.invert_yaxis()
    distances.grid(axis="y", visible=False)
    return figure
