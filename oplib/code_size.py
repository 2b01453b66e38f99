"""Measured code sizes in bytes; ``python tools/measure_code_size.py`` prints these tables.

Compiler: arm-none-eabi-gcc 12.2, flags of runtime/CMakeLists.txt.
"""

from __future__ import annotations

from mcuformer.device import Core

# initialised and zeroed data besides the arena: SysTick's wrap counter
STATIC_BYTES = 4
# one call in model_run, without its parameter struct
CALL_BYTES = 19
# vector table, start-up, library functions and the application
PORT_BYTES: dict[Core, int] = {
    "cortex-m0plus": 2751,
    "cortex-m3": 2138,
    "cortex-m4": 2312,
    "cortex-m7": 2304,
}
KERNEL_BYTES: dict[Core, dict[str, int]] = {
    "cortex-m0plus": {
        "oplib_add_s8": 100,
        "oplib_attention_s8": 650,
        "oplib_classifier_s8": 122,
        "oplib_gelu_s8": 30,
        "oplib_layer_norm_s8": 404,
        "oplib_linear_s8": 848,
        "oplib_mean_pool_s8": 142,
        "oplib_patch_embed_s8": 1098,
    },
    "cortex-m3": {
        "oplib_add_s8": 72,
        "oplib_attention_s8": 508,
        "oplib_classifier_s8": 122,
        "oplib_gelu_s8": 40,
        "oplib_layer_norm_s8": 310,
        "oplib_linear_s8": 600,
        "oplib_mean_pool_s8": 102,
        "oplib_patch_embed_s8": 908,
    },
    "cortex-m4": {
        "oplib_add_s8": 72,
        "oplib_attention_s8": 466,
        "oplib_classifier_s8": 114,
        "oplib_gelu_s8": 40,
        "oplib_layer_norm_s8": 266,
        "oplib_linear_s8": 570,
        "oplib_mean_pool_s8": 92,
        "oplib_patch_embed_s8": 848,
    },
    "cortex-m7": {
        "oplib_add_s8": 76,
        "oplib_attention_s8": 458,
        "oplib_classifier_s8": 114,
        "oplib_gelu_s8": 40,
        "oplib_layer_norm_s8": 268,
        "oplib_linear_s8": 566,
        "oplib_mean_pool_s8": 92,
        "oplib_patch_embed_s8": 862,
    },
}
