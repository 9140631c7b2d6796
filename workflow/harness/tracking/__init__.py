"""MLflow: a mirror of the run folders, written through its public interface."""
