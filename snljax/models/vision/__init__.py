"""Networks for images, in flax."""
