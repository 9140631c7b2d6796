"""Our methods against loops that do what the released codes do: `make bench`."""
