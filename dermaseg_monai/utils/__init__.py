"""Ground that every other package stands on: errors, files, downloads, modes, tensors, processes."""
