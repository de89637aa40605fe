"""What tools/config_table.py is made of."""
