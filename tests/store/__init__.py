"""The real rclone, run as a store's pod runs it."""
