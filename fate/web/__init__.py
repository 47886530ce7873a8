"""The game in a browser: the same app, one process for each tab, shown through textual-serve."""
