"""The section ``plot`` of ``params.yaml``."""

from pydantic import Field

from trilift.project.params import StrictModel


class Settings(StrictModel):
    """The section ``plot`` of ``params.yaml``.

    Attributes
    ----------
    examples
        How many poses the figure of poses shows: from the best to the worst, at even ranks.
    viewer_recordings
        How many test recordings the viewer page holds, at even distances; of a clip with several people all of them.
    viewer_seconds
        How much of each, from the beginning.
    video_frames
        Whether the figure of poses and the viewer show frames of the videos, of data sets that begin with videos.
        People can be recognised in them.
    viewer_frames_mb
        How large they may make the viewer page, in MB; where that is too little for all, it shows every second, or
        third, ... frame.
    """

    examples: int = Field(3, gt=0, le=20)
    viewer_recordings: int = Field(10, gt=0, le=100)
    viewer_seconds: float = Field(16.0, gt=0, le=600)
    video_frames: bool = True
    viewer_frames_mb: float = Field(20.0, gt=0, le=500)
