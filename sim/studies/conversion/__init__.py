"""ASICs or GPU nodes on the same megawatts: the swap, and the study of it."""
