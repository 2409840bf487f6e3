"""The reports: single HTML files that need no network."""

from seamline.report.comparison import Reference, Shown, write_comparison
from seamline.report.page import write_report
from seamline.report.pictures import FramePair, SeamCrops, data_uri, frame_pairs, pick_frames, seam_crops
from seamline.report.templates import render

__all__ = [
    "FramePair",
    "Reference",
    "SeamCrops",
    "Shown",
    "data_uri",
    "frame_pairs",
    "pick_frames",
    "render",
    "seam_crops",
    "write_comparison",
    "write_report",
]
