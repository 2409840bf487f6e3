"""Shape checks at the entry of every network."""

from collections.abc import Sequence

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
    if not fits(tensor.shape, shape):
        wanted = ", ".join("*" if size is None else str(size) for size in shape)
        raise ValueError(f"{what}: expected shape ({wanted}), got {tuple(tensor.shape)}")


def fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    """Whether a shape is the expected one, in which None stands for any size."""
    return len(shape) == len(wanted) and all(
        want is None or size == want for size, want in zip(shape, wanted, strict=True)
    )
