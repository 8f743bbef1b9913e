"""The table of upstream behaviours, a row each."""

from __future__ import annotations

from behaviour_ends import ENDS
from behaviour_fields import FIELDS
from behaviour_refusals import REFUSALS
from behaviour_tools import TOOLS

BEHAVIOURS = (*ENDS, *FIELDS, *TOOLS, *REFUSALS)
MAIN = tuple(row for row in BEHAVIOURS if row.main)
