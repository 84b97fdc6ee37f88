"""Tells setuptools about the C extension; everything else is in pyproject.toml.

``cffi_modules`` has no equivalent there.
"""

from setuptools import setup

setup(cffi_modules=["build_ext.py:ffibuilder"])
