"""The kinds of tokenizers and the sizes of their convolutions."""

from __future__ import annotations

from typing import Literal, NamedTuple

Tokenizer = Literal["patch", "conv1", "conv2"]

NUM_CONVS: dict[Tokenizer, int] = {"patch": 0, "conv1": 1, "conv2": 2}
MAX_CONV_STRIDE = 3  # a 3 x 3 kernel with a larger stride would skip pixels


class ConvConfig(NamedTuple):
    """One 3 x 3 convolution of a convolutional tokenizer; `size` is the side of its output."""

    in_chans: int
    out_chans: int
    stride: int
    size: int


def conv_configs(
    tokenizer: Tokenizer,
    img_size: int,
    patch_size: int,
    in_chans: int,
    embed_dim: int,
    stem_dim: int | None,
) -> tuple[ConvConfig, ...]:
    """Return the convolutions of a tokenizer, each followed by pooling by 2; none for ``patch``.

    Args:
        tokenizer: kind of tokenizer.
        img_size: side of the image in pixels.
        patch_size: side of a patch in pixels, which the strides make up.
        in_chans: channels of the image.
        embed_dim: embedding width.
        stem_dim: channels between two convolutions, or None.
    """
    count = NUM_CONVS[tokenizer]
    if count == 0:
        return ()
    middle = () if stem_dim is None else (stem_dim,)
    widths = (in_chans, *middle, embed_dim)
    size, convs = img_size, []
    for index in range(count):
        stride = patch_size // 2**count if index == 0 else 1
        size = -(-size // stride)
        convs.append(ConvConfig(widths[index], widths[index + 1], stride, size))
        size = -(-size // 2)
    return tuple(convs)


def check_tokenizer(tokenizer: Tokenizer, patch_size: int) -> None:
    """Refuse a convolutional tokenizer whose strides cannot make up `patch_size`.

    Raises:
        ValueError: `patch_size` is not among the sizes that the tokenizer takes.
    """
    count = NUM_CONVS[tokenizer]
    stride, remainder = divmod(patch_size, 2**count)
    if count and (remainder or not 1 <= stride <= MAX_CONV_STRIDE):
        sizes = [2**count * stride for stride in range(1, MAX_CONV_STRIDE + 1)]
        raise ValueError(f"tokenizer {tokenizer} takes patch_size {sizes}, not {patch_size}")
