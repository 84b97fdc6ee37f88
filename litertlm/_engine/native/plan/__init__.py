"""The planner: reads the graphs of a model file and describes what they compute as a :class:`Plan`.

Untrusted graphs are read in memory-safe code, and what is not recognised is refused by the name of its node;
the engine checks the plan once more. Nothing here runs or holds weights.
"""

from litertlm._engine.native.plan.planner import plan
from litertlm._engine.native.plan.steps import (
    NONE,
    Activation,
    Cache,
    Constant,
    Function,
    Matrix,
    Op,
    Plan,
    Step,
    WeightFormat,
)
from litertlm._engine.native.plan.tflite import NotRecognised

__all__ = [
    "NONE",
    "Activation",
    "Cache",
    "Constant",
    "Function",
    "Matrix",
    "NotRecognised",
    "Op",
    "Plan",
    "Step",
    "WeightFormat",
    "plan",
]
