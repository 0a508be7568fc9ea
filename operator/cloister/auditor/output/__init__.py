"""Replies, inspected before they leave: what must not is masked, refused or only noted."""
