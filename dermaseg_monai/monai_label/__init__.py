"""Bundles as models of a MONAI Label server: outlines proposed, corrected by people, learned from.

What imports MONAI Label stands here and nowhere else, since it needs an environment of its own (NumPy 1 and
pydicom 2); ``scripts/monailabel.sh`` makes one.
"""
