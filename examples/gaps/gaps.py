"""Turns the gaps of a NotCovered result into requests for single backups.

Invoked by SNS with results of the kind NotCovered. CBR may refuse to replicate a
vault once more although new backups have no replica. A single backup may still be
replicated: CBR's documents say so, and it is not proven.
"""

import functools
import json
import os


def handler(event, _context):
    for record in event["Records"]:
        result = json.loads(record["Sns"]["Message"])
        bodies = [json.dumps(r) for r in requests(result)]
        for some in (bodies[i : i + 10] for i in range(0, len(bodies), 10)):
            send(some)


def requests(result):
    """A request for each uncovered backup, the newest first.

    requested_at is the time of the result: if SNS delivers it twice, the second
    request finds what the first one did.
    """
    data = result["data"]
    asked = data["request"]
    to = {k: v for k, v in asked["replicate"].items() if k not in ("vault_id", "auto_trigger")}
    for backup in data.get("uncovered", []):
        yield {
            "project_id": asked["project_id"],
            "region": asked["region"],
            "correlation_id": result["correlationid"],
            "requested_at": result["time"],
            "replicate": {"backup_id": backup, **to},
        }


def send(bodies):
    """Sends up to ten requests. If one is not taken, the invocation fails and Lambda tries again."""
    answer = sqs().send_message_batch(
        QueueUrl=os.environ["QUEUE_URL"],
        Entries=[{"Id": str(i), "MessageBody": b} for i, b in enumerate(bodies)],
    )
    if answer.get("Failed"):
        raise RuntimeError(f"{len(answer['Failed'])} requests were not taken")


@functools.cache
def sqs():
    import boto3  # part of Lambda's runtime

    return boto3.client("sqs")
