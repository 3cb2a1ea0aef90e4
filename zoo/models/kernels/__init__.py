"""Models that compare a new example with stored ones by a kernel."""
