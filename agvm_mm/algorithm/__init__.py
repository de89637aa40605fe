"""AGVM itself: names, and tensors."""
