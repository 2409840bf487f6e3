"""The report of one edit: a single HTML file that needs no network."""

from seamline.report.page import write_report
from seamline.report.pictures import FramePair, SeamCrops, frame_pairs, pick_frames, seam_crops

__all__ = ["FramePair", "SeamCrops", "frame_pairs", "pick_frames", "seam_crops", "write_report"]
