"""The keeper of a store: keys, retention and leftovers, beside rclone in the store's own pod."""
