"""One run: its folder, checkpoints, training session and result."""
