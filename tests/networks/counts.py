"""Parameters of what several networks are made of, counted by hand."""

from __future__ import annotations


def gate_parameters(skip: int, gate: int) -> int:
    """2x2 convolution of the skip, 1x1 of the signal, one weight map, 1x1 output with batch norm."""
    hidden = skip // 2
    return 4 * skip * hidden + (gate + 1) * hidden + (hidden + 1) + (skip + 1) * skip + 2 * skip


def aspp_parameters(channels: int, width: int) -> int:
    """A 1x1 and three 3x3 branches, image pooling and the 1x1 that joins them, each with a norm."""
    return (1 + 3 * 9 + 1) * channels * width + 5 * width * width + 6 * 2 * width


def decoder_parameters(skips: tuple[int, ...], widths: tuple[int, ...]) -> int:
    """Pairs of 3x3 convolutions with batch norms, the last pair without a skip."""
    return sum(
        9 * (before + skip) * after + 9 * after * after + 4 * after
        for before, skip, after in zip(widths, (*skips, 0), widths[1:], strict=False)
    )
