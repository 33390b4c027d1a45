"""A finished .tflite file on pictures and videos that no run folder knows: the model card says how to feed it."""
