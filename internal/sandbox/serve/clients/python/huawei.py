"""Huawei's official SDK for Python, pointed at `make serve` in place of CBR.

python huawei.py ADDRESS CALL
"""
import json
import sys
from datetime import datetime, timezone

from huaweicloudsdkcbr.v1 import (
    CbrClient,
    CheckpointReplicateParam,
    CheckpointReplicateReq,
    CopyCheckpointRequest,
)
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

CALL = json.loads(sys.argv[2])
client = (
    CbrClient.new_builder()
    .with_credentials(BasicCredentials("ak", "sk", CALL["project_id"]))
    .with_endpoint(sys.argv[1])
    .build()
)


def invoker(vault: str):
    replicate = CheckpointReplicateParam(**{**CALL["replicate"], "vault_id": vault})
    return client.copy_checkpoint_invoker(CopyCheckpointRequest(body=CheckpointReplicateReq(replicate=replicate)))


at = datetime.now(timezone.utc).isoformat()
for _ in range(2):  # the second call starts nothing more
    good = invoker(CALL["replicate"]["vault_id"]).add_header("X-Requested-At", at).invoke()
    assert good.status_code == 200 and good.replication.vault_id == CALL["replicate"]["vault_id"], good
    assert len(good.replication.backups) == 3 and good.replication.backups[0].replication_record_id, good

for vault, status, code in (
    (CALL["replicate"]["vault_id"], 409, "BackupService.6130"),
    ("no vault's id", 400, "InvalidEvent"),
):
    try:
        invoker(vault).invoke()
    except ClientRequestException as e:
        assert (e.status_code, e.error_code) == (status, code) and e.error_msg and e.request_id, e
    else:
        raise AssertionError(f"{vault}: no error")
