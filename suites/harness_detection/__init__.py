"""Detection: how well and how fast models find objects, as they are or after training, and on corrupted images."""
