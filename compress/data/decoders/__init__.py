"""One decoder for each family of image files; all of them return a `Raster`."""
