"""Opens an incident when a vault's replica is too old, and closes it when it is current.

Invoked by SNS with the results of checks. It posts events of PagerDuty's Events API
v2, which others take as well. The vault and its destination are the incident's key,
so that an incident is opened once, however often the check says the same.
"""

import functools
import json
import os
import urllib.request


def handler(event, _context):
    for record in event["Records"]:
        post(incident(json.loads(record["Sns"]["Message"]), routing_key()))


def incident(result, key):
    data = result["data"]
    check = data["request"]["check"]
    stale = data["status"] == "stale"
    what = {
        "routing_key": key,
        "event_action": "trigger" if stale else "resolve",
        "dedup_key": f"cbr-replica/{check['vault_id']}/{check['destination_region']}/{check['destination_vault_id']}",
    }
    if stale:
        what["payload"] = {
            "summary": f"vault {check['vault_id']} to {check['destination_region']}: {data['error']['kind']}: {data['error']['message']}"[:1024],
            "source": result["source"],
            "severity": "critical",
            "timestamp": result["time"],
            "custom_details": data["replica"],
        }
    return what


def post(body):
    request = urllib.request.Request(os.environ["EVENTS_URL"], json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10):
        pass  # another status than 2xx is an exception


@functools.cache
def routing_key():
    import boto3  # part of Lambda's runtime

    return boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["ROUTING_KEY_SECRET_ARN"])["SecretString"]
