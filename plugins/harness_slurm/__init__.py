"""The executor that runs cells as jobs of a Slurm cluster."""

from harness_slurm.executor import Slurm

__all__ = ["Slurm"]
