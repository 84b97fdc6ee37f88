"""Our own engine for the CPU."""
