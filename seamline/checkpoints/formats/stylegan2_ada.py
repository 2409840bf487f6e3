"""`ffhq.pkl` and its like: generators of stylegan2-ada-pytorch, pickled together with their classes."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from seamline.bundles.manifest import ConfigValue
from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.inferred import fitting_shapes, shape_of
from seamline.checkpoints.formats.pinned import REMEDY, checked, part, table
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint
from seamline.checkpoints.stand_ins import StandIn, attribute, state_dict_of
from seamline.errors import InvalidInput

LICENCE: Final = "Nvidia Source Code License (non-commercial); trained on FFHQ, CC BY-NC-SA 4.0"
GENERATOR: Final = "G_ema"


def generator_tensors(path: Path, found: Any) -> tuple[dict[str, ConfigValue], dict[str, Tensor]]:
    """Config and weights of a generator of stylegan2-ada.

    Args:
        path: The file that errors name.
        found: The generator as it was pickled, or its state dict.

    Raises:
        InvalidInput: It is no such generator, or its weights are not those of one.
    """
    if isinstance(found, StandIn) and found.name != "Generator":
        raise InvalidInput(f"{path}: {GENERATOR} is a {found}, wanted a Generator; {REMEDY}", path=path)
    state = table(path, state_dict_of(found) if isinstance(found, StandIn) else found, GENERATOR)
    config = _config(path, state)
    if isinstance(found, StandIn):
        config["mapping_lr_multiplier"] = _mapping_gain(found)
    return config, checked(path, state, fitting_shapes(path, "generator", config))


def _config(path: Path, state: Mapping[str, Any]) -> dict[str, ConfigValue]:
    sides = [int(match[1]) for key in state if (match := re.match(r"synthesis\.b(\d{1,4})\.", key))]
    layers = {int(match[1]) for key in state if (match := re.match(r"mapping\.fc(\d{1,2})\.", key))}
    resolution = max(sides, default=4)
    return {
        "resolution": resolution,
        "z_dim": shape_of(path, state, "mapping.fc0.weight", 2)[1],
        "w_dim": shape_of(path, state, "mapping.w_avg", 1)[0],
        "mapping_layers": len(layers),
        "channel_base": resolution * shape_of(path, state, f"synthesis.b{resolution}.conv1.bias", 1)[0],
        "channel_max": shape_of(path, state, "synthesis.b4.const", 3)[0],
    }


def _mapping_gain(generator: StandIn) -> float:
    """The first mapping layer's bias gain, which is its learning rate's multiplier."""
    layer: Any = generator
    for name in ("mapping", "fc0"):
        layer = (attribute(layer, "_modules") or {}).get(name) if isinstance(layer, StandIn) else None
    gain = attribute(layer, "bias_gain") if isinstance(layer, StandIn) else None
    return float(gain) if isinstance(gain, int | float) and 0 < gain <= 1 else 0.01


def _convert(paths: Sequence[Path]) -> Converted:
    (path,) = paths
    config, tensors = generator_tensors(path, part(path, read_checkpoint(path), GENERATOR))
    return Converted(kind="generator", config=config, tensors=tensors, licence=LICENCE, source=path.name)


FORMAT: Final = Format(
    name="stylegan2-ada",
    inputs=("ffhq.pkl",),
    description="StyleGAN2 generator, as stylegan2-ada-pytorch pickles it",
    licence=LICENCE,
    convert=_convert,
)
