"""What was chosen and rejected, as a folder that others can train on."""

from fate.dataset.export import ExportError, export

__all__ = ["ExportError", "export"]
