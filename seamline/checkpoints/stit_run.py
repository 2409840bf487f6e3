"""Finished runs of Stitch it in Time: the tuned generator, codes and quads of `checkpoints/model_<run>.pt`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamline.checkpoints.formats.pinned import part
from seamline.checkpoints.formats.stylegan2_ada import generator_tensors
from seamline.checkpoints.reading import read_checkpoint
from seamline.errors import InvalidInput, NotFound

REMEDY: Final = "train the run again with Stitch it in Time, or name another"
OPTIONS: Final = "opts.json"
"""What train.py was called with; it lies in its output folder, which may be anywhere."""
DEPTH: Final = 4
"""Folders inside folders in which that file is looked for."""
SKEW: Final = 1e-3
"""How far quads may be from parallelograms, of their side."""


@dataclass(frozen=True, kw_only=True)
class StitRun:
    """What a run left behind."""

    path: Path
    """The checkpoint."""
    tensors: Mapping[str, Tensor]
    """The tuned generator's, in this project's names."""
    pivots: Tensor
    """(n, L, w_dim) float32, the codes of its frames."""
    quads: NDArray[np.float64]
    """(n, 4, 2) corners of its crops in the frames, pixels."""
    options: Mapping[str, Any]
    """What train.py was called with; empty where that is not found."""

    @property
    def frames_folder(self) -> Path | None:
        """Where it had the frames from, if they are still there."""
        given = self.options.get("input_folder")
        if not isinstance(given, str):
            return None
        # A path that train.py was given counts from its own folder, above checkpoints/.
        folder = self.path.parent.parent / given
        return folder if folder.is_dir() else None

    @property
    def start(self) -> int | None:
        """The first of the source's frames that it used; None where that is not known."""
        start = self.options.get("start_frame")
        return start if type(start) is int and start >= 0 else None

    @property
    def passes(self) -> int:
        """Passes of pivotal tuning; 0 where that is not known."""
        passes = self.options.get("num_pti_steps")
        return passes if type(passes) is int and passes > 0 else 0


def read_run(folder: Path, run: str) -> StitRun:
    """Read a run without running anything in it.

    Args:
        folder: A clone of Stitch it in Time, or its checkpoints.
        run: The name that train.py was given.

    Raises:
        NotFound: There is no such run; the message lists those that there are.
        InvalidInput: Its checkpoint is damaged, hostile, or not of this kind.
    """
    path = _checkpoint(folder, run)
    found = read_checkpoint(path)
    _, tensors = generator_tensors(path, part(path, found, "generator"))
    pivots, quads = _pivots(path, part(path, found, "pivots")), _quads(path, part(path, found, "quads"))
    if len(pivots) != len(quads):
        raise InvalidInput(f"{path}: has {len(pivots)} pivots and {len(quads)} quads; {REMEDY}", path=path)
    return StitRun(path=path, tensors=tensors, pivots=pivots, quads=quads, options=_options(folder, run))


def _checkpoint(folder: Path, run: str) -> Path:
    places = (folder / "checkpoints", folder)
    for place in places:
        if Path(run).name == run and (place / f"model_{run}.pt").is_file():
            return place / f"model_{run}.pt"
    paths = (path for place in places for path in place.glob("model_*.pt"))
    known = ", ".join(sorted(path.stem.removeprefix("model_") for path in paths)) or "none"
    raise NotFound(f"{folder}: has no checkpoints/model_{run}.pt; runs that it has: {known}", path=folder)


def _options(folder: Path, run: str) -> Mapping[str, Any]:
    """The options of the run's training, wherever its output went inside the folder."""
    for depth in range(DEPTH):
        for path in sorted(folder.glob("*/" * depth + OPTIONS)):
            try:
                found = json.loads(path.read_bytes())
            except (OSError, ValueError, RecursionError):
                continue
            if isinstance(found, dict) and found.get("run_name") == run and "num_pti_steps" in found:
                return found
    return {}


def _pivots(path: Path, found: Any) -> Tensor:
    if not isinstance(found, Tensor) or found.ndim != 3 or not found.is_floating_point() or not len(found):
        raise InvalidInput(f"{path}: pivots are no tensor (frames, codes, w_dim); {REMEDY}", path=path)
    if not bool(found.isfinite().all()):
        raise InvalidInput(f"{path}: pivots hold NaN or infinity; {REMEDY}", path=path)
    return found.detach().float()


def _quads(path: Path, found: Any) -> NDArray[np.float64]:
    try:
        quads = np.stack([np.asarray(quad, np.float64) for quad in found])
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{path}: quads are no list of arrays ({error}); {REMEDY}", path=path) from error
    if quads.shape[1:] != (4, 2) or not np.isfinite(quads).all():
        raise InvalidInput(f"{path}: quads have shape {quads.shape}, wanted (frames, 4, 2); {REMEDY}", path=path)
    sides = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=-1)
    skew = np.linalg.norm(quads[:, 0] + quads[:, 2] - quads[:, 1] - quads[:, 3], axis=-1)
    if (skew > SKEW * sides).any() or not sides.all():
        raise InvalidInput(f"{path}: quads are no parallelograms; {REMEDY}", path=path)
    return quads


def check_fits(run: StitRun, own: Mapping[str, Tensor], bundle: str) -> None:
    """Check that a run was tuned from a bundle's generator: it is kept as what tuning changed of it.

    Args:
        run: As read.
        own: The state dict of the bundle's generator.
        bundle: Its name.

    Raises:
        InvalidInput: Sizes, noise or the average face are others; names the first that is.
    """
    remedy = f"import it with the bundle whose generator it was trained from; {bundle} has another"
    for name, tensor in own.items():
        found = run.tensors.get(name)
        if found is None or found.shape != tensor.shape:
            shape, wanted = None if found is None else tuple(found.shape), tuple(tensor.shape)
            raise InvalidInput(f"{run.path}: {name} has shape {shape}, not {wanted}: {remedy}", path=run.path)
        fixed = name.endswith(("noise_const", "w_avg"))
        # Bundles may hold them in float16.
        if fixed and not torch.allclose(found, tensor.cpu(), rtol=1e-2, atol=1e-3):
            raise InvalidInput(f"{run.path}: {name} has other numbers: {remedy}", path=run.path)
    count, width = run.pivots.shape[1:]
    if own["mapping.w_avg"].shape != (width,) or count != _codes(own):
        raise InvalidInput(f"{run.path}: pivots are of {count} codes of {width} numbers: {remedy}", path=run.path)


def _codes(own: Mapping[str, Tensor]) -> int:
    return 2 * sum(name.endswith(".torgb.weight") for name in own)
