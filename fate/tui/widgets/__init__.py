"""Small parts of the screens; each does one thing."""
