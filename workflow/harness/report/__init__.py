"""The report of an experiment, explanations of a cell, bundles and references."""
