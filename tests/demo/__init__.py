"""`make demo`: Cloister on a real control plane on this machine, told as a story, and left running."""
