"""Data sets: image and volume files, labels, checks, augmentation, batches."""
