"""Rows, token ids and pretrained weights: fetched, verified against their hashes, cached."""
