"""Edits by the bundle's latent transformer: the direction depends on the face (Yao et al. 2021, arXiv:2106.11895)."""

import torch
from torch import Tensor

from seamline.bundles import Bundle
from seamline.errors import Precondition, UnknownEdit

KIND = "latent_transformer"


def check(bundle: Bundle, name: str, field: str = "edits.name") -> None:
    """Check that the bundle's latent transformer can do an edit.

    Raises:
        Precondition: The bundle has no latent transformer.
        UnknownEdit: It has one, but not for this edit.
    """
    if not bundle.has(KIND):
        raise Precondition(
            f"bundle {bundle.name} has no latent transformer; use its linear directions",
            field=field,
            bundle=bundle.name,
        )
    names = bundle.config(KIND).names
    if name not in names:
        raise UnknownEdit(
            f"the latent transformer of bundle {bundle.name} has no edit {name!r}; it has: {', '.join(names)}",
            field=field,
            edit=name,
        )


@torch.no_grad()
def moved(bundle: Bundle, name: str, codes: Tensor, strength: Tensor) -> Tensor:
    """Edit codes.

    Args:
        bundle: One for which `check` finds nothing.
        name: The edit.
        codes: (N, L, w_dim).
        strength: (N,) in the units of the linear direction of the same name.

    Returns:
        (N, L, w_dim) in float32, on the codes' device.

    Raises:
        Precondition, UnknownEdit: See `check`.
    """
    check(bundle, name)
    names = bundle.config(KIND).names
    strengths = codes.new_zeros(len(codes), len(names), dtype=torch.float32)
    strengths[:, names.index(name)] = strength.to(strengths)
    return bundle.infer(KIND, codes.float(), strengths).clone()  # which autograd takes, unlike what inference mode made
