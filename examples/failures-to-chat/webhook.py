"""Posts cbr-replicator's bad results, of requests and of copies, to a chat's incoming webhook.

Invoked by SNS. If the webhook does not answer with 2xx, the invocation fails.
Lambda invokes it twice more, and then the message is in the dead-letter queue.
"""

import functools
import json
import os
import urllib.request


# How many copies that are not there a line names.
NAMED = 5


def handler(event, _context):
    for record in event["Records"]:
        post(webhook_url(), text(json.loads(record["Sns"]["Message"])))


def text(result):
    """One line on a result event, for a person. Copies that are not there have a line each below it."""
    data = result["data"]
    error = data["error"]
    replicate = data.get("request", {}).get("replicate")
    what = "a request that cannot be read"
    if replicate:
        what = f"vault {replicate['vault_id']} to {replicate['destination_region']}"
    code = f" {error['code']}" if "code" in error else ""
    line = f"{what}: {data['status']}, {error['kind']}{code}: {error['message']} ({result['correlationid']})"
    if data.get("stage") == "copy":
        line += missing(data)
    # Escaped for Slack's mrkdwn and its like: error texts come from outside.
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def missing(data):
    """Names the copies that are not at the destination. They come first in the result."""
    # A copy that was skipped may be there by another one. Where none is there, it is not.
    there = ("success", "skip") if data["status"] == "partial" else ("success",)
    copies = [backup for backup in data.get("backups", []) if backup["status"] not in there]
    names = []
    for backup in copies[:NAMED]:
        name = backup.get("resource_name", "backup") + " " + backup["backup_id"]
        why = " ".join(backup[key] for key in ("status", "fail_code", "fail_reason") if key in backup)
        names.append(f"{name}: {why}")
    if len(copies) > NAMED:
        names.append(f"and {len(copies) - NAMED} more in the result")
    return "".join("\n- " + name for name in names)


def post(url, line):
    body = json.dumps({"text": line}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10):
        pass  # another status than 2xx is an exception


@functools.cache
def webhook_url():
    """The webhook's address. Whoever knows it can post, so it is in a secret."""
    import boto3  # part of Lambda's runtime

    return boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["WEBHOOK_SECRET_ARN"])["SecretString"]
