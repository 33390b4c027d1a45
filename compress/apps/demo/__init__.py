"""The demo: a static page that runs the model in a browser, on a phone too."""
