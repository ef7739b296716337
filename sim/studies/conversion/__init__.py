"""Replacing ASICs by GPU nodes on the same megawatts: the swap and its study."""
