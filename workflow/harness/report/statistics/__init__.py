"""Statistics of an experiment: tests, intervals and what more seeds would decide."""
