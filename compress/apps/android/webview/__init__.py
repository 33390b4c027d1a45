"""The demo page as an Android app, made without the Android SDK.

The app is a WebView that shows the page from its own assets. Its code is `classes.dex`, assembled from smali/ by
`smali assemble -j 1 smali -o classes.dex` (Debian's package smali; a test holds the two to each other).
"""
