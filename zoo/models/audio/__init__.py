"""Models of sound. `separator.py` is their base: the way to the spectrogram and back, the verb `separate`, loss and metric."""
