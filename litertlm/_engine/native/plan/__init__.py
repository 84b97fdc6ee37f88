"""The planner: reads the graphs of a model file and describes what they compute as a :class:`Plan`.

Untrusted graphs are read in memory-safe code, and what is not recognised is refused by the name of its node;
the engine checks the plan once more. The way in is :func:`litertlm._engine.native.plan.planner.plan`. Nothing here runs or holds weights.
"""

from litertlm._engine.native.plan.plan import Plan
from litertlm._engine.native.plan.planner import NotRecognised

__all__ = ["NotRecognised", "Plan"]
