"""The screens; each has its styles beside it."""
