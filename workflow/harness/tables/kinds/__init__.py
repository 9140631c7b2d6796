"""The kinds of table, one module each."""
