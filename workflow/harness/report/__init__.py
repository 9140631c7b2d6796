"""From run folders to tables: the mirror in MLflow, the frame, tables, and the failure digest."""
