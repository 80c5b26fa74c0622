"""Prediction on photos, and what is measured of it."""
