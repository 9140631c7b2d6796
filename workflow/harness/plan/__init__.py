"""From an experiment file to its runs: grid, keys, cost, studies. No torch."""
