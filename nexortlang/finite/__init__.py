"""The core program at a finite width: real matrices, every instruction, every factor of n."""
