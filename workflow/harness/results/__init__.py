"""What the runs of an experiment say: the frame, comparisons, statistics, environment."""
