"""What tools/python_configs.py is made of."""
