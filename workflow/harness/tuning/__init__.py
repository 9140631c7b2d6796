"""Hyper-parameter searches: Optuna studies whose trials are scored on the selection rows only."""
