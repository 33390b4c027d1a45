"""An Android Studio project around a finished model."""
