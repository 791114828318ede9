"""Consumes cbr-replicator's results from a queue, each once.

SNS and SQS deliver at least once, and the function may publish a result twice.
Both times it has the same event id. A store remembers the ids that are handled,
and a duplicate is dropped. DynamoDBStore is such a store.
"""

import enum
import json
import os
import time
from typing import Protocol

# How long a claim lasts if its process ends before the result is handled. Longer
# than the function's time-out, so that no two processes handle one result.
LEASE = 60
# How long an id is remembered: longer than a queue keeps a message.
MEMORY = 15 * 24 * 3600


class Claim(enum.Enum):
    MINE = enum.auto()
    BUSY = enum.auto()  # another process handles it, or has ended while it did
    DONE = enum.auto()


class Store(Protocol):
    def claim(self, event_id: str) -> Claim: ...

    def mark_done(self, event_id: str) -> None: ...

    def release(self, event_id: str) -> None: ...


def handler(event, _context):
    return consume(event, DynamoDBStore(os.environ["TABLE"]), next_step)


def next_step(result):
    """Yours. If it fails or is interrupted in the middle, it is called once more for the same result."""
    print(json.dumps({"status": result["data"]["status"], "subject": result.get("subject"), "correlation_id": result["correlationid"]}))


def consume(event, store: Store, handle):
    """Handles the results of an SQS batch; returns the batch item failures."""
    failed = []
    for record in event["Records"]:
        try:
            result = json.loads(record["body"])
            if not once(result, store, handle):
                failed.append(record)
        except Exception as error:  # the other results are not affected
            print(json.dumps({"level": "ERROR", "message_id": record["messageId"], "error": repr(error)}))
            failed.append(record)
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}


def once(result, store: Store, handle):
    """Returns whether the result is handled, now or earlier."""
    claim = store.claim(result["id"])
    if claim is Claim.MINE:
        try:
            handle(result)
        except Exception:
            store.release(result["id"])
            raise
        store.mark_done(result["id"])
    return claim is not Claim.BUSY


class DynamoDBStore:
    """A table with the key "id" and the time-to-live attribute "expires"."""

    def __init__(self, table, now=time.time):
        import boto3  # part of Lambda's runtime

        self.client = boto3.client("dynamodb")
        self.table = table
        self.now = now

    def claim(self, event_id):
        now = int(self.now())
        try:
            self.client.put_item(
                TableName=self.table,
                Item={"id": {"S": event_id}, "lease": {"N": str(now + LEASE)}, "expires": {"N": str(now + MEMORY)}},
                ConditionExpression="attribute_not_exists(id) OR lease < :now",
                ExpressionAttributeValues={":now": {"N": str(now)}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self.client.exceptions.ConditionalCheckFailedException as claimed:
            return Claim.BUSY if "lease" in claimed.response["Item"] else Claim.DONE
        return Claim.MINE

    def mark_done(self, event_id):
        # Without a lease it cannot be claimed.
        self.client.update_item(TableName=self.table, Key={"id": {"S": event_id}}, UpdateExpression="REMOVE lease")

    def release(self, event_id):
        self.client.delete_item(TableName=self.table, Key={"id": {"S": event_id}})
