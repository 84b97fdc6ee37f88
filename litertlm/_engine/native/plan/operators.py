"""Numbers of TFLite's schema: operators, and the tables of options that are read."""

from __future__ import annotations

__all__ = ["BUILTIN", "OPTIONS", "OPTIONS_2"]

BUILTIN = {
    0: "ADD", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE",
    7: "EMBEDDING_LOOKUP", 8: "FLOOR", 9: "FULLY_CONNECTED", 14: "LOGISTIC", 18: "MUL", 19: "RELU",
    22: "RESHAPE", 25: "SOFTMAX", 28: "TANH", 34: "PAD", 36: "GATHER", 39: "TRANSPOSE", 40: "MEAN", 41: "SUB",
    42: "DIV", 43: "SQUEEZE", 45: "STRIDED_SLICE", 47: "EXP", 48: "TOPK_V2", 49: "SPLIT", 50: "LOG_SOFTMAX",
    53: "CAST", 55: "MAXIMUM", 56: "ARG_MAX", 57: "MINIMUM", 58: "LESS", 59: "NEG", 61: "GREATER",
    62: "GREATER_EQUAL", 63: "LESS_EQUAL", 64: "SELECT", 65: "SLICE", 66: "SIN", 69: "TILE",
    70: "EXPAND_DIMS", 71: "EQUAL", 72: "NOT_EQUAL", 73: "LOG", 74: "SUM", 75: "SQRT", 76: "RSQRT",
    77: "SHAPE", 78: "POW", 81: "REDUCE_PROD", 82: "REDUCE_MAX", 83: "PACK", 84: "LOGICAL_OR", 85: "ONE_HOT",
    86: "LOGICAL_AND", 87: "LOGICAL_NOT", 88: "UNPACK", 89: "REDUCE_MIN", 90: "FLOOR_DIV", 91: "REDUCE_ANY",
    92: "SQUARE", 94: "FILL", 95: "FLOOR_MOD", 96: "RANGE", 99: "SQUARED_DIFFERENCE", 101: "ABS",
    102: "SPLIT_V", 106: "ADD_N", 107: "GATHER_ND", 108: "COS", 114: "QUANTIZE", 116: "ROUND",
    117: "HARD_SWISH", 118: "IF", 119: "WHILE", 122: "SCATTER_ND", 123: "SELECT_V2", 126: "BATCH_MATMUL",
    128: "CUMSUM", 130: "BROADCAST_TO", 150: "GELU", 151: "DYNAMIC_UPDATE_SLICE", 158: "SIGN",
    206: "STABLEHLO_COMPOSITE",
}  # fmt: skip
"""Names of operators; of all that are known to occur in exports of language models."""

OPTIONS = {
    "FULLY_CONNECTED": 8, "SOFTMAX": 9, "CONCATENATION": 10, "ADD": 11, "RESHAPE": 17, "MUL": 21,
    "GATHER": 23, "TRANSPOSE": 26, "MEAN": 27, "SUM": 27, "REDUCE_MAX": 27, "SUB": 28, "DIV": 29,
    "STRIDED_SLICE": 32, "SPLIT": 35, "CAST": 37, "PACK": 59, "BATCH_MATMUL": 101, "GELU": 116,
}  # fmt: skip
"""Kinds of the table of options, by operator."""

OPTIONS_2 = {"STABLEHLO_COMPOSITE": 21}
"""Kinds of the second table of options, by operator."""
