"""Tests and intervals on arrays of scores and predictions."""
