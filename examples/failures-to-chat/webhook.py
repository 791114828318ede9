"""Posts cbr-replicator's bad results to a chat's incoming webhook.

Invoked by SNS. If the webhook does not answer with 2xx, the invocation fails.
Lambda invokes it twice more, and then the message is in the dead-letter queue.
"""

import functools
import json
import os
import urllib.request


def handler(event, _context):
    for record in event["Records"]:
        post(webhook_url(), text(json.loads(record["Sns"]["Message"])))


def text(result):
    """One line on a result event, for a person."""
    data = result["data"]
    error = data["error"]
    replicate = data.get("request", {}).get("replicate")
    what = "a request that cannot be read"
    if replicate:
        what = f"vault {replicate['vault_id']} to {replicate['destination_region']}"
    code = f" {error['code']}" if "code" in error else ""
    line = f"{what}: {data['status']}, {error['kind']}{code}: {error['message']} ({result['correlationid']})"
    # Escaped for Slack's mrkdwn and its like: error texts come from outside.
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


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
