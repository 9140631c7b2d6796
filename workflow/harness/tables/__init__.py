"""Tables: cells, marks, significance, and the writers of each format."""
