"""The one door to native code.

``seam`` says what an engine can do; ``litert`` is the official library behind that seam; ``lib``, ``handle``
and ``log`` are what both sides of the door share. Nothing outside this package touches cffi, and nothing
above it knows which engine runs.
"""
