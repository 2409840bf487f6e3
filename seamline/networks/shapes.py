"""Shape checks at the entry of every network."""

from torch import Tensor


def expect_shape(tensor: Tensor, shape: tuple[int | None, ...], what: str) -> None:
    """Check a tensor's shape at the edge of a network.

    Args:
        tensor: Any tensor.
        shape: The expected size of every dimension; None accepts any size.
        what: What the tensor is and how its dimensions read, for the message.

    Raises:
        ValueError: The rank or a size differs; the message names both shapes.
    """
    fits = tensor.ndim == len(shape) and all(
        want is None or size == want for size, want in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("*" if size is None else str(size) for size in shape)
        raise ValueError(f"{what}: expected shape ({wanted}), got {tuple(tensor.shape)}")
