"""Apps that run a finished model: the demo page, and projects for Android and iOS."""
