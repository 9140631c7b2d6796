"""Tasks and models brought in: rows, token ids, weights."""
