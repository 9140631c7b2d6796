"""Reference pages and JSON schemas, generated from the code that they describe."""
