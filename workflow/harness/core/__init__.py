"""The engine: random streams, batches, the encoder, the training loop and evaluation."""
