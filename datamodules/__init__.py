"""One file per data set: official raw files in, whole batches on the training device out."""
