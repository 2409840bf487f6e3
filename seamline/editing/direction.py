"""Edits along the bundle's linear directions (Shen et al. 2020, InterFaceGAN, arXiv:2005.09635)."""

from torch import Tensor

from seamline.bundles import Bundle


def moved(bundle: Bundle, name: str, codes: Tensor, strength: Tensor, bounded: bool = True) -> Tensor:
    """Edit codes.

    Args:
        bundle: One that has the edit.
        name: The edit.
        codes: (N, L, w_dim).
        strength: (N,) in the direction's units.
        bounded: Whether the edit stops where the faces that the generator knows end, as the bundle says (`EditSpec`).
            A face that is beyond its end already stays where it is, unless it is moved back.

    Returns:
        (N, L, w_dim).
    """
    direction = bundle.directions[name].to(codes)
    if bounded:
        low, high = bundle.edits[name].ends
        place = position(bundle, direction, codes)
        strength = (place + strength).clamp(place.clamp(max=low), place.clamp(min=high)) - place
    return codes + strength[:, None, None] * direction


def position(bundle: Bundle, direction: Tensor, codes: Tensor) -> Tensor:
    """How far codes (N, L, w_dim) are from the average face along a direction (L, w_dim), in its units: (N,)."""
    offsets = codes - bundle.latent_avg.to(codes)
    return (offsets * direction).sum((1, 2)) / direction.square().sum()
