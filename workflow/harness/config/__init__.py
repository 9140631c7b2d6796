"""The type of every file that is read or written, its loader and its error messages. No torch."""
