"""Reports on run folders: scores, aggregates and curves as CSV, PNG, Markdown and one HTML page."""

from rlseq.analysis.report import search
from rlseq.analysis.report.protocols import Choice
from rlseq.analysis.report.write import write

__all__ = ["Choice", "search", "write"]
