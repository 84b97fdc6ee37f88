"""Tells setuptools about the C extension and the wheel's tag; everything else is in pyproject.toml.

``cffi_modules`` has no equivalent there, and ``py_limited_api`` only an experimental one.
"""

from setuptools import setup

setup(
    cffi_modules=["build_ext.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
