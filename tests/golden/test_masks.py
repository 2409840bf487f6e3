"""Masks are those of Stitch it in Time's public implementation."""

import pytest
import torch
from seamline_stitcher.masks import split_region

from tests.golden.networks import Golden

SETTINGS = {
    "default": {"frame_border": 25, "inner": 0, "outer": 25, "whole": False},
    "inner": {"frame_border": 12, "inner": 3, "outer": 10, "whole": False},
    "whole": {"frame_border": 25, "inner": 0, "outer": 25, "whole": True},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_content_border_and_full_mask(name: str) -> None:
    golden = Golden("masks").outputs
    masks = split_region(golden["mask"], **SETTINGS[name])
    for kind, mask in zip(("content", "border", "full"), masks, strict=True):
        torch.testing.assert_close(mask, golden[f"{name}_{kind}"], rtol=0, atol=0)
