"""The catalogue of bundles, and the folders made from it."""
