"""Says in the answer which flow schema and priority level a request belongs to.

`max_in_flight.py` bounds requests until the fair queues of these levels do.
"""

from __future__ import annotations

from kapi.flowcontrol.flow_schema import Classifier
from kapi.messages import Handler, Request, Response

SCHEMA_HEADER = "X-Kubernetes-Pf-Flowschema-Uid"
LEVEL_HEADER = "X-Kubernetes-Pf-Prioritylevel-Uid"


def with_flow_control(handler: Handler, classifier: Classifier) -> Handler:
    async def filtered(request: Request) -> Response:
        if request.user is not None:
            flow = classifier.flow(request.user, request.info)
            if flow is not None:
                request.reply_headers.append((SCHEMA_HEADER, flow.schema_uid))
                request.reply_headers.append((LEVEL_HEADER, flow.level_uid))
        return await handler(request)

    return filtered
