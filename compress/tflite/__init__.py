"""TFLite files: written, read, converted, quantized."""
