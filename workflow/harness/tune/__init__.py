"""Searches: Optuna studies whose trials are trainings, compared on the selection rows alone."""
