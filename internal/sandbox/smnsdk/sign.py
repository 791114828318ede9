"""Signs the request on standard input with the signer of Huawei's official SDK, and prints the header."""
import json
import sys

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

call = json.load(sys.stdin)
request = SdkRequest(
    method=call["method"], host=call["headers"]["host"], resource_path=call["path"],
    query_params=[], header_params=call["headers"], body=call["body"].encode(),
)
print(Signer(BasicCredentials(call["access"], call["secret"])).sign(request).header_params["Authorization"])
