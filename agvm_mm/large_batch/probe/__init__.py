"""How many samples a process takes at once, found before a run begins."""
