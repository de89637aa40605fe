"""The report of a training: what its logs tell, judged and drawn."""
