"""What MMEngine 0.10 and torch lack."""
