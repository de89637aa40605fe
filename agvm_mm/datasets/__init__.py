"""A small real data set for detection and segmentation, made on the spot."""
from .digits import write_digits

__all__ = ['write_digits']
