"""From an experiment file to the list of its runs. Nothing here imports torch."""
