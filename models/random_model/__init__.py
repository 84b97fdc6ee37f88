"""Models of any supported shape with random weights, for tests and benchmarks.

`python -m models.random_model --shape NAME --quant Q --out DIR [--layout L] [--gguf]`. Nothing is downloaded
and nothing is trained: the sizes, the file format and the arithmetic are those of the real model, the text
that comes out is noise.
"""
