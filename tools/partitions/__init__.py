"""What tools/show_partition.py is made of."""
