"""What MMEngine calls."""
