"""What the tools that read a config have in common."""
