"""The method interface, the registry of methods, and the arithmetic that methods share.

Importing this package, or any method, does not import torch (see ``harness.methods.lazy``).
"""
