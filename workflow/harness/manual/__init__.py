"""What can be said of commands, keys and arguments, taken from the code that defines them."""
