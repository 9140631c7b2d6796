"""Training: encoder, batches, optimizer, random streams, training loop, metrics."""
