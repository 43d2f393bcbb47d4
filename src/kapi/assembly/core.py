"""What a start makes before there are handlers: registry, identity and admission in one record.

`server.py` fills it, `routing/front.py` builds handlers from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kapi.admission.plugin import AdmissionChain
from kapi.admission.quotas.gate import QuotaGate
from kapi.assembly import identity
from kapi.assembly.authority import Authority
from kapi.kinds.catalog import Catalog
from kapi.managedfields.manager import FieldManager
from kapi.registry.allocation.allocate import ServiceAllocation
from kapi.registry.allocation.shared import SharedAllocation
from kapi.registry.applying import Applier
from kapi.registry.delete import Deleter
from kapi.registry.in_process import InProcess
from kapi.registry.read import Reader
from kapi.registry.versions import Versions
from kapi.registry.write import Writer


@dataclass(frozen=True, slots=True)
class Core:
    """Parts that handlers and loops are made of."""

    catalog: Catalog
    versions: Versions
    fields: FieldManager
    applier: Applier
    reader: Reader
    writer: Writer
    deleter: Deleter
    admission: AdmissionChain
    in_process: InProcess
    allocation: ServiceAllocation | SharedAllocation
    quota_gate: QuotaGate | None
    who: identity.Identity
    authority: Authority
    restore_addresses: Callable[[], Awaitable[None]]
