"""The operators, one a file: shape rule, float and integer reference, scratch, C parameters."""

from oplib.operator import Operator
from oplib.ops.add import Add
from oplib.ops.attention import Attention
from oplib.ops.classifier import Classifier
from oplib.ops.gelu import Gelu
from oplib.ops.layer_norm import LayerNorm
from oplib.ops.linear import Linear
from oplib.ops.mean_pool import MeanPool
from oplib.ops.patch_embed import PatchEmbed

OPERATORS: dict[str, Operator] = {
    "add": Add(),
    "attention": Attention(),
    "classifier": Classifier(),
    "gelu": Gelu(),
    "layer_norm": LayerNorm(),
    "linear": Linear(),
    "mean_pool": MeanPool(),
    "patch_embed": PatchEmbed(),
}
