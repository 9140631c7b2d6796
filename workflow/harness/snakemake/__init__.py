"""What the Snakefile calls: paths and resources of jobs, checks before the first job, job packs."""
