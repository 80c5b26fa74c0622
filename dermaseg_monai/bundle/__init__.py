"""Bundles: the catalogue, the folders rendered from it, and a bundle's folder as it is used."""
