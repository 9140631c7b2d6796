"""What several tests share: experiments, planted runs, clones of the repository, traces."""
