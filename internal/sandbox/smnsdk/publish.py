"""Publishes the message on standard input with Huawei's official SDK, and prints what came back."""
import json
import sys

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdksmn.v2 import MessageAttribute, PublishMessageRequest, PublishMessageRequestBody, SmnClient

call = json.load(sys.stdin)
credentials = BasicCredentials(call["access"], call["secret"], call["project"])
if call.get("security_token"):
    credentials = credentials.with_security_token(call["security_token"])
client = SmnClient.new_builder().with_credentials(credentials).with_endpoints([call["endpoint"]]).build()
try:
    answer = client.publish_message(PublishMessageRequest(
        topic_urn=call["topic"],
        body=PublishMessageRequestBody(
            message=call["message"],
            time_to_live="86400",
            message_attributes=[MessageAttribute(name=n, type="STRING", value=v) for n, v in call["attributes"].items()],
        ),
    ))
    print(json.dumps({"message_id": answer.message_id}))
except ClientRequestException as e:
    print(json.dumps({"status": e.status_code, "code": e.error_code}))
