"""The planner: reads the graphs of a model file and describes what they compute as a :class:`Plan`."""
