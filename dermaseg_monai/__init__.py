"""Skin-lesion segmentation models for the ISIC 2018 data, as MONAI bundles."""

__version__ = "0.1.0"
