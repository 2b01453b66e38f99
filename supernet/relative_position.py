"""AutoFormer's two-dimensional relative position: a vector per row and per column distance.

Source: AutoFormer (Chen et al., ICCV 2021), section 4.1, after Shaw et al., 2018. Keys and values
have tables of their own. Entry 0 of a table is for every pair with the class token, entry
1 + max_distance + d for distance d, clamped to [-max_distance, max_distance].
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

TABLES = ("key_rows", "key_columns", "value_rows", "value_columns")


class RelativePosition(nn.Module):
    """Four tables (2 * max_distance + 2, head_dim); a smaller head uses the leading columns.

    The vector of a pair of patches (r, c), (s, f) is R[s - r] + C[f - c], one by row distance and
    one by column distance. Products are therefore taken before the sum:

        q . (R[s - r] + C[f - c]) = q . R[s - r] + q . C[f - c]
        sum_sf w_sf (R[s - r] + C[f - c])
            = sum_s (sum_f w_sf) R[s - r] + sum_f (sum_s w_sf) C[f - c]

    That is 2 * grid_size products per query and head instead of grid_size^2, and no tensor of
    (N, N, head_dim) exists, forward or backward.

    Args:
        max_distance: largest distance with a vector of its own.
        head_dim: largest width of a head.
    """

    key_rows: nn.Parameter
    key_columns: nn.Parameter
    value_rows: nn.Parameter
    value_columns: nn.Parameter

    def __init__(self, max_distance: int, head_dim: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        for name in TABLES:
            table = nn.Parameter(torch.empty(2 * max_distance + 2, head_dim))
            nn.init.trunc_normal_(table, std=0.02)
            setattr(self, name, table)

    def scores(self, q: Tensor, grid_size: int) -> Tensor:
        """Return the products of queries with the keys' vectors of every pair.

        Args:
            q: queries, (B, H, N, head_dim). N is grid_size^2, plus one if a class token is first.
            grid_size: patches along one side of the image.

        Returns:
            (B, H, N, N), query by key.
        """
        head_dim, has_class = q.shape[-1], q.shape[-2] > grid_size**2
        patches = rearrange(
            q[:, :, 1:] if has_class else q, "b h (r c) d -> b h r c d", r=grid_size
        )
        rows, cols = (self._vectors(name, grid_size, head_dim) for name in TABLES[:2])
        by_row = torch.einsum("bhrcd,rsd->bhrcs", patches, rows)
        by_col = torch.einsum("bhrcd,cfd->bhrcf", patches, cols)
        scores = rearrange(
            by_row.unsqueeze(-1) + by_col.unsqueeze(-2), "b h r c s f -> b h (r c) (s f)"
        )
        if not has_class:
            return scores
        vector = self.key_rows[0, :head_dim] + self.key_columns[0, :head_dim]
        to_class = (q @ vector).unsqueeze(-1)  # (B, H, N, 1)
        scores = torch.cat([to_class[:, :, 1:], scores], dim=-1)
        of_class = to_class[:, :, :1].expand(-1, -1, -1, q.shape[-2])
        return torch.cat([of_class, scores], dim=-2)

    def values(self, weights: Tensor, grid_size: int, head_dim: int) -> Tensor:
        """Return the sums over keys of the values' vectors, weighted by attention.

        Args:
            weights: attention weights, (B, H, N, N), query by key.
            grid_size: patches along one side of the image.
            head_dim: width of a head.

        Returns:
            (B, H, N, head_dim).
        """
        has_class = weights.shape[-1] > grid_size**2
        patches = rearrange(
            weights[:, :, 1:, 1:] if has_class else weights,
            "b h (r c) (s f) -> b h r c s f",
            r=grid_size,
            s=grid_size,
        )
        rows, cols = (self._vectors(name, grid_size, head_dim) for name in TABLES[2:])
        summed = torch.einsum("bhrcs,rsd->bhrcd", patches.sum(dim=-1), rows)
        summed = summed + torch.einsum("bhrcf,cfd->bhrcd", patches.sum(dim=-2), cols)
        summed = rearrange(summed, "b h r c d -> b h (r c) d")
        if not has_class:
            return summed
        vector = self.value_rows[0, :head_dim] + self.value_columns[0, :head_dim]
        summed = summed + weights[:, :, 1:, :1] * vector
        of_class = weights[:, :, :1].sum(dim=-1, keepdim=True) * vector
        return torch.cat([of_class, summed], dim=-2)

    def _vectors(self, name: str, grid_size: int, head_dim: int) -> Tensor:
        """Return the vector of every pair of coordinates, query by key, (grid, grid, head_dim)."""
        table: Tensor = getattr(self, name)
        coordinates = torch.arange(grid_size, device=table.device)
        distance = coordinates[None, :] - coordinates[:, None]
        distance = distance.clamp(-self.max_distance, self.max_distance)
        return table[distance + self.max_distance + 1, :head_dim]
