"""The database; knows no screen and no torch."""

from fate.store.store import Store, StoreError

__all__ = ["Store", "StoreError"]
