"""What ``plan.py`` tells beside the updates."""
