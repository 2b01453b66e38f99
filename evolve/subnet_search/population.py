"""Subnets as individuals: drawing, mutating and crossing them inside one space point.

Source: AutoFormer, evolution search (section 3.3); the same operators as MCUFormer's code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mcuformer.errors import BudgetError
from mcuformer.space import SearchSpace, SpacePoint, draw
from mcuformer.subnet import SubnetConfig

MAX_DRAWS = 10_000


@dataclass(frozen=True)
class Variation:
    """Draws admissible subnets of one point.

    Args:
        admissible: tells whether a subnet fits the budget.
        depth_probability, embed_dim_probability: of a mutation changing that gene; the
            tokenizer changes as often as the width.
        block_probability: of a mutation changing each gene of a block.
    """

    space: SearchSpace
    point: SpacePoint
    admissible: Callable[[SubnetConfig], bool]
    depth_probability: float
    embed_dim_probability: float
    block_probability: float

    def fresh(self, rng: np.random.Generator) -> SubnetConfig:
        """Draw an admissible subnet uniformly, by rejection.

        Raises:
            BudgetError: none was found in many draws.
        """
        for _ in range(MAX_DRAWS):
            subnet = self.space.sample(self.point, rng)
            if self.admissible(subnet):
                return subnet
        raise BudgetError(
            f"none of {MAX_DRAWS} sampled subnets fits; widen the budget or the space",
            where="budget",
        )

    def mutate(self, parent: SubnetConfig, rng: np.random.Generator) -> SubnetConfig:
        """Change some genes of `parent`; the child may be inadmissible."""
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
        return self.space.subnet(self.point, embed_dim, tuple(blocks), tokenizer)

    def cross(
        self, mother: SubnetConfig, father: SubnetConfig, rng: np.random.Generator
    ) -> SubnetConfig:
        """Take each gene from either parent; the depth is one parent's, its tail too."""
        parents = (mother, father) if rng.random() < 0.5 else (father, mother)
        blocks = []
        for index, own in enumerate(parents[0].blocks):
            other = parents[1].blocks[index] if index < parents[1].depth else own
            genes = self.space.genes_of(own)
            for name in self._free_genes():
                genes[name] = getattr((own, other)[int(rng.integers(2))], name)
            blocks.append(self.space.block(genes))
        embed_dim = parents[int(rng.integers(2))].embed_dim
        tokenizer = parents[0].tokenizer
        return self.space.subnet(self.point, embed_dim, tuple(blocks), tokenizer)

    def _free_genes(self) -> list[str]:
        """Return the genes of a block that have a choice at all."""
        return [name for name, choices in self.space.block_genes.items() if len(choices) > 1]
