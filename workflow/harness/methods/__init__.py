"""What a method is, how methods are found, and the arithmetic that they share.

Importing this package, or any method, does not import torch (see ``harness.methods.lazy``).
"""
