"""What is done with the data of many choices: export, import, count, check."""

from fate.dataset.export import Exported, ExportError, ExportOptions, export

__all__ = ["ExportError", "ExportOptions", "Exported", "export"]
