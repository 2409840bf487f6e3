"""How far a track's tuning has come: kept in checkpoints, and what decides whether it goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

_PREFIX = "course/"


@dataclass(kw_only=True)
class Course:
    """Passes finished, and the one under way. PSNR is taken as the frames are seen, so it costs no extra look."""

    history: list[float]
    """Mean PSNR over the frames, in dB: of the pivots, then as each finished pass saw it."""
    visits: int = 0
    """Groups of ranges gone over, counted through all passes."""
    seen: int = 0
    """Frames that the pass under way has seen."""
    summed: float = 0.0
    """Their PSNR, added up."""

    @property
    def passes(self) -> int:
        """Passes finished."""
        return len(self.history) - 1

    @property
    def psnr_db(self) -> float:
        """Mean over the frames that the pass under way has seen, of which there must be one."""
        return self.summed / self.seen

    def reached(self, target_psnr_db: float) -> bool:
        """Whether a pass, not the pivots alone, met the target; 0 is none."""
        return bool(target_psnr_db) and self.passes > 0 and self.history[-1] >= target_psnr_db

    def see(self, psnr_db: Sequence[float]) -> None:
        """Counts frames of the pass under way."""
        self.seen += len(psnr_db)
        self.summed += sum(psnr_db)

    def end_visit(self, groups: int) -> None:
        """Counts a group; with the last of a pass's `groups` the pass is finished."""
        self.visits += 1
        if self.visits % groups == 0:
            self.history.append(self.psnr_db)
            self.seen, self.summed = 0, 0.0

    def state(self) -> dict[str, Tensor]:
        """All of it as tensors, as `restored` takes them."""
        return {_PREFIX + name: torch.from_numpy(np.asarray(value)) for name, value in asdict(self).items()}

    @classmethod
    def restored(cls, state: Mapping[str, Tensor]) -> "Course":
        """What `state` gave."""
        values: dict[str, Any] = {field.name: state[_PREFIX + field.name].tolist() for field in fields(cls)}
        return cls(**values)
