"""What a run needs to be cut and to go on."""
