"""Raw files to samples, folds and augmented copies."""
