"""The three kinds of patch that change a document without owning it (apply is
`managedfields/merge.py`).

All are pure functions of (document, decoded patch) that share with the document what they do not
touch, and raise ApiError in the words and with the codes of the real server. Called by
`registry/change.py`.
"""

from kapi.registry.json_patch import json_patch
from kapi.registry.merge_patch import merge_patch
from kapi.registry.strategic_merge import strategic_merge

__all__ = ["json_patch", "merge_patch", "strategic_merge"]
