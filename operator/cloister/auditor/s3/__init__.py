"""Stores: each query is read into one typed operation, checked, recorded, forwarded; and its outcome recorded."""
