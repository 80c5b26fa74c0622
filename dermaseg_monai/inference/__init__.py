"""Prediction on photos, and what makes it ready: calibration, 8-bit networks, audits of masks."""
