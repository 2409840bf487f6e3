"""A text's style direction is that of Stitch it in Time's public implementation."""

import pytest
import torch.nn.functional as F

from seamline.editing.styleclip import channel_steps
from tests.golden.networks import TOLERANCE, Golden, relative_error


@pytest.mark.parametrize(("beta", "name"), [(0.05, "beta_0p05"), (0.1, "beta_0p1")])
def test_channel_steps(beta: float, name: str) -> None:
    golden = Golden("styleclip_global").outputs
    neutral, target = F.normalize(golden["class_weights"], dim=0).unbind(1)
    found = channel_steps(golden["fs3"], F.normalize(target - neutral, dim=0), beta)
    assert golden[name].count_nonzero() > 0
    assert relative_error(found, golden[name]) < TOLERANCE
