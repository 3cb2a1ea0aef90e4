"""Models that stand for their data by prototypes: the self-organising map."""
