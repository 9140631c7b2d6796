"""Run folders: the typed record of a run, its lock and its provenance."""
