"""What a run needs to be cut and go on."""
