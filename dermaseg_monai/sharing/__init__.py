"""Sharing of bundles: archives, checks of what others made, installation from any web server."""
