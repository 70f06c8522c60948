"""Constant matrices of the Fourier transform of real maps, float64; ``fourier`` multiplies by them.

Real and imaginary parts are separate. "half" is W//2 + 1 columns. A matrix side of 2·half or 2·H holds both
parts in the order that the docstring states.
"""

from __future__ import annotations

import numpy as np


def _angles(length: int, count: int) -> np.ndarray:
    """2π·n·k / length for n < length, k < count, reduced exactly before the division: (length, count)."""
    turns = np.outer(np.arange(length), np.arange(count)) % length
    return turns * (2.0 * np.pi / length)


def column_counts(width: int) -> np.ndarray:
    """Multiplicity of each stored column in the full plane, 1 or 2: (half,)."""
    counts = np.full(width // 2 + 1, 2.0)
    counts[0] = 1.0
    if width % 2 == 0:
        counts[-1] = 1.0
    return counts


def energy_counts(height: int, width: int) -> np.ndarray:
    """Multiplicity of each bin, (H, half), 0 for the mean: weights of |F|² in H·W times the variance."""
    counts = np.tile(column_counts(width), (height, 1))
    counts[0, 0] = 0.0
    return counts


def row_matrix(width: int) -> np.ndarray:
    """(W, 2·half): a row times this matrix is its half spectrum, real parts before imaginary parts."""
    angles = _angles(width, width // 2 + 1)
    return np.concatenate([np.cos(angles), -np.sin(angles)], axis=1) / np.sqrt(width)


def row_inverse_matrix(width: int) -> np.ndarray:
    """(2·half, W): inverse of ``row_matrix``; mirrored columns count twice."""
    angles = _angles(width, width // 2 + 1).T  # (half, W)
    counts = column_counts(width)[:, None]
    return np.concatenate([np.cos(angles) * counts, -np.sin(angles) * counts], axis=0) / np.sqrt(width)


def column_matrix(height: int) -> np.ndarray:
    """(2·H, 2·H): transform over rows, from (row, part) to (part, row) order; part is Re or Im."""
    return _parts_inside(_complex_columns(height, -1))


def column_inverse_matrix(height: int) -> np.ndarray:
    """(2·H, 2·H): inverse of ``column_matrix``, from (part, row) to (row, part) order."""
    return _complex_columns(height, 1).reshape(2, height, -1).transpose(1, 0, 2).reshape(2 * height, -1)


def _complex_columns(height: int, sign: int) -> np.ndarray:
    """(2·H, 2·H): complex transform over rows, exponent sign ``sign``, on real above imaginary parts."""
    angles = sign * _angles(height, height)
    cosine, sine = np.cos(angles) / np.sqrt(height), np.sin(angles) / np.sqrt(height)
    return np.block([[cosine, -sine], [sine, cosine]])


def first_columns(first: int) -> np.ndarray:
    """(2·P, 2·P): the transform over p of rows n = Q·p + q, unscaled; from (p, part) to (part, bin)."""
    return _parts_inside(_complex_columns(first, -1)) * np.sqrt(first)


def first_columns_back(first: int) -> np.ndarray:
    """(2·P, 2·P): transpose of ``first_columns``, from (bin, part) to (p, part)."""
    return _parts_inside(first_columns(first).T)


def second_columns(first: int, second: int) -> np.ndarray:
    """(P, 2·Q, 2·Q): for each bin k of the P, over q, from (q, part) to (part, bin); bins are k + P·bin."""
    return np.stack([_parts_inside(matrix) for matrix in _turned_columns(first, second)])


def second_columns_back(first: int, second: int) -> np.ndarray:
    """(P, 2·Q, 2·Q): transposes of ``second_columns``, from (part, bin) to (part, q)."""
    return np.stack([matrix.T for matrix in _turned_columns(first, second)])


def _turned_columns(first: int, second: int) -> list[np.ndarray]:
    """P matrices (2·Q, 2·Q), real above imaginary parts on both sides, twiddle factors included."""
    height = first * second
    bins = np.arange(first)[:, None] + first * np.arange(second)  # (P, Q)
    angles = (bins[:, :, None] * np.arange(second)) % height * (-2.0 * np.pi / height)  # (P, Q bins, Q rows)
    cosine, sine = np.cos(angles) / np.sqrt(height), np.sin(angles) / np.sqrt(height)
    return [np.block([[c, -s], [s, c]]) for c, s in zip(cosine, sine, strict=True)]


def _parts_inside(matrix: np.ndarray) -> np.ndarray:
    """Columns of (2·H, 2·H) from (part, row) to (row, part) order."""
    height = len(matrix) // 2
    return matrix.reshape(2 * height, 2, height).transpose(0, 2, 1).reshape(2 * height, -1)


def dense_matrix(height: int, width: int) -> np.ndarray:
    """(H·W, 2·H·half): the transform of every unit map, flattened."""
    units = np.eye(height * width).reshape(-1, height, width)
    rows = units @ row_matrix(width)  # (H·W, H, 2·half)
    mixed = rows.reshape(height * width, 2 * height, -1)  # (H·W, 2·H, half)
    return (column_matrix(height) @ mixed).reshape(height * width, -1)


def dense_inverse_matrix(height: int, width: int) -> np.ndarray:
    """(2·H·half, H·W): the inverse of every unit real and imaginary bin, flattened."""
    half = width // 2 + 1
    units = np.eye(2 * height * half).reshape(-1, 2 * height, half)
    mixed = column_inverse_matrix(height) @ units  # (2·H·half, 2·H, half)
    rows = mixed.reshape(-1, height, 2 * half)  # (2·H·half, H, 2·half)
    return (rows @ row_inverse_matrix(width)).reshape(2 * height * half, -1)
