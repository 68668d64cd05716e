"""Our image localisers and those of other libraries on the same cells and folds: `make bench-peers`."""
