"""The client that openapi-python-client makes of docs/openapi.yaml, against `make serve`.

python generated.py ADDRESS CALL
"""
import json
import sys
from datetime import datetime, timezone

from api.api.default import copy_checkpoint
from api.client import AuthenticatedClient
from api.models import Answer, Fault, ReplicationRequest

CALL = json.loads(sys.argv[2])
client = AuthenticatedClient(base_url=sys.argv[1], token="a signature", prefix="")


def call(request: dict, **headers: str):
    body = ReplicationRequest.from_dict(request)
    return copy_checkpoint.sync_detailed(CALL["project_id"], client=client, body=body, **headers)


at = datetime.now(timezone.utc).isoformat()
for _ in range(2):  # the second call starts nothing more
    good = call({"replicate": CALL["replicate"]}, x_requested_at=at)
    assert good.status_code == 200 and isinstance(good.parsed, Answer), good
    assert good.parsed.replication.vault_id == CALL["replicate"]["vault_id"], good
    assert len(good.parsed.replication.backups) == 3 and good.parsed.replication.backups[0].replication_record_id, good
    assert good.headers["X-Result-Published"] == "true" and good.headers["X-Request-Id"], good

for request, status, code in (
    ({"replicate": CALL["replicate"]}, 409, "BackupService.6130"),
    ({"replicate": CALL["replicate"], "requested_at": "2026-11-23T02:00:00Z"}, 400, "InvalidEvent"),
    ({"replicate": {**CALL["replicate"], "vault_id": "no id"}}, 400, "InvalidEvent"),
):
    bad = call(request, **({"x_requested_at": at} if "requested_at" in request else {}))
    assert bad.status_code == status and isinstance(bad.parsed, Fault), bad
    assert bad.parsed.error_code == code and bad.parsed.error_msg and bad.headers["X-Request-Id"], bad
