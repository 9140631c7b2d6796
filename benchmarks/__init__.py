"""Our methods compared with loops that do what the released codes do: ``make bench``."""
