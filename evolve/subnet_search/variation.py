"""Mutate and cross subnets.

Source: AutoFormer, section 3.3 (evolution search); MCUFormer's code has the same operators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcuformer.space import SearchSpace, SpacePoint, draw
from mcuformer.subnet import SubnetConfig


@dataclass(frozen=True)
class Variation:
    """The operators of the evolution; a child may exceed the budget.

    Args:
        space: search space.
        points: points whose subnets are searched.
        depth_probability: probability that a mutation changes the depth.
        embed_dim_probability: probability that it changes the width, that it changes the tokenizer,
            and that it changes the point, where several are searched.
        block_probability: probability that it changes a gene of a block, for each gene.
    """

    space: SearchSpace
    points: tuple[SpacePoint, ...]
    depth_probability: float
    embed_dim_probability: float
    block_probability: float

    def mutate(self, parent: SubnetConfig, rng: np.random.Generator) -> SubnetConfig:
        """Change some genes of `parent`."""
        blocks = list(parent.blocks)
        if rng.random() < self.depth_probability:
            depth = draw(self.space.depth, rng)
            extra = [self.space.sample_block(rng) for _ in range(depth - len(blocks))]
            blocks = blocks[:depth] + extra
        for index, block in enumerate(blocks):
            new = self.space.sample_block(rng)
            genes = self.space.genes_of(block)
            for name in self._free_genes():
                if rng.random() < self.block_probability:
                    genes[name] = getattr(new, name)
            blocks[index] = self.space.block(genes)
        embed_dim, tokenizer = parent.embed_dim, parent.tokenizer
        if rng.random() < self.embed_dim_probability:
            embed_dim = draw(self.space.embed_dim, rng)
        if len(self.space.tokenizer) > 1 and rng.random() < self.embed_dim_probability:
            tokenizer = draw(self.space.tokenizer, rng)
        point = self.space.point_of(parent)
        if len(self.points) > 1 and rng.random() < self.embed_dim_probability:
            point = self.points[int(rng.integers(len(self.points)))]
        return self.space.subnet(point, embed_dim, tuple(blocks), tokenizer)

    def cross(
        self, mother: SubnetConfig, father: SubnetConfig, rng: np.random.Generator
    ) -> SubnetConfig:
        """Take each gene from either parent with equal probability.

        Depth, tokenizer and point are one parent's, as are the blocks that only the deeper one has.
        """
        parents = (mother, father) if rng.random() < 0.5 else (father, mother)
        blocks = []
        for index, block in enumerate(parents[0].blocks):
            other = parents[1].blocks[index] if index < parents[1].depth else block
            genes = self.space.genes_of(block)
            for name in self._free_genes():
                genes[name] = getattr((block, other)[int(rng.integers(2))], name)
            blocks.append(self.space.block(genes))
        embed_dim = parents[int(rng.integers(2))].embed_dim
        tokenizer = parents[0].tokenizer
        return self.space.subnet(
            self.space.point_of(parents[0]), embed_dim, tuple(blocks), tokenizer
        )

    def _free_genes(self) -> list[str]:
        """Return the genes of a block that have more than one choice."""
        return [name for name, choices in self.space.block_genes.items() if len(choices) > 1]
