"""A local server of pages about everything below a folder: runs as they stand, and every sample of them."""
