"""A few hundred real test images per data set, packaged: demos and tests run anywhere. See SOURCES.md."""
