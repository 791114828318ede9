"""python3 -m unittest: no packages are needed."""

import json
import unittest
import unittest.mock

import gaps

RESULT = {
    "time": "2026-11-28T02:00:00Z",
    "correlationid": "nightly",
    "data": {
        "request": {
            "project_id": "f841e01fd2b14e7fa41b6ae7aa6b0594",
            "region": "region1",
            "requested_at": "2026-11-28T01:00:00Z",
            "replicate": {"vault_id": "3b5816b5-f29c-4172-9d9a-76c719a659ce", "destination_vault_id": "d", "destination_project_id": "p", "destination_region": "region2", "auto_trigger": True},
        },
        "uncovered": [f"backup-{i}" for i in range(12)],
    },
}


class TestGaps(unittest.TestCase):
    def invoke(self, *answers):
        client = unittest.mock.Mock()
        client.send_message_batch.side_effect = answers
        with unittest.mock.patch.object(gaps, "sqs", lambda: client), unittest.mock.patch.dict("os.environ", QUEUE_URL="q"):
            gaps.handler({"Records": [{"Sns": {"Message": json.dumps(RESULT)}}]}, None)
        return [json.loads(e["MessageBody"]) for call in client.send_message_batch.call_args_list for e in call.kwargs["Entries"]]

    def test_requests(self):
        sent = self.invoke({}, {})
        self.assertEqual([r["replicate"]["backup_id"] for r in sent], RESULT["data"]["uncovered"])
        self.assertEqual(sent[0], {
            "project_id": "f841e01fd2b14e7fa41b6ae7aa6b0594", "region": "region1", "correlation_id": "nightly", "requested_at": "2026-11-28T02:00:00Z",
            "replicate": {"backup_id": "backup-0", "destination_vault_id": "d", "destination_project_id": "p", "destination_region": "region2"},
        })

    def test_not_taken(self):
        with self.assertRaises(RuntimeError):
            self.invoke({}, {"Failed": [{"Id": "0"}]})


if __name__ == "__main__":
    unittest.main()
