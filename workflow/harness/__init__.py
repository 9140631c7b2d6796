"""Benchmark and reproducibility harness for adversarial fine-tuning of language models."""

__version__ = "0.1.0"
