"""python3 -m unittest: DynamoDBStore's tests are skipped where moto is not installed."""

import json
import os
import pathlib
import unittest

import app

try:
    import boto3
    import moto
except ImportError:
    moto = None

GOLDEN = pathlib.Path(__file__).parents[2] / "internal/result/testdata/completed.json"


class Memory:
    def __init__(self):
        self.claims = {}

    def claim(self, event_id):
        if event_id in self.claims:
            return self.claims[event_id]
        self.claims[event_id] = app.Claim.BUSY
        return app.Claim.MINE

    def mark_done(self, event_id):
        self.claims[event_id] = app.Claim.DONE

    def release(self, event_id):
        del self.claims[event_id]


def result(event_id):
    return json.loads(GOLDEN.read_text())["message"] | {"id": event_id}


def batch(*bodies):
    return {"Records": [{"messageId": f"m{i}", "body": body if isinstance(body, str) else json.dumps(body)} for i, body in enumerate(bodies)]}


class TestConsume(unittest.TestCase):
    def setUp(self):
        self.store, self.handled = Memory(), []

    def handle(self, result):
        self.handled.append(result["id"])

    def consume(self, *bodies, handle=None):
        answer = app.consume(batch(*bodies), self.store, handle or self.handle)
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def test_duplicates(self):
        self.assertEqual(self.consume(result("a"), result("b"), result("a")), [])
        self.assertEqual(self.consume(result("b")), [])
        self.assertEqual(self.handled, ["a", "b"])

    def test_failure_is_handled_when_redelivered(self):
        def fail(result):
            raise RuntimeError("the next step is down")

        self.assertEqual(self.consume(result("a"), handle=fail), ["m0"])
        self.assertEqual(self.consume(result("a")), [])
        self.assertEqual(self.handled, ["a"])

    def test_no_result_does_not_affect_others(self):
        self.assertEqual(self.consume("{", result("a"), "{}"), ["m0", "m2"])
        self.assertEqual(self.handled, ["a"])

    def test_busy_is_handed_back(self):
        self.store.claim("a")
        self.assertEqual(self.consume(result("a")), ["m0"])
        self.assertEqual(self.handled, [])


@unittest.skipIf(moto is None, "moto is not installed")
class TestDynamoDBStore(unittest.TestCase):
    def setUp(self):
        os.environ |= {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"}
        mock = moto.mock_aws()
        mock.start()
        self.addCleanup(mock.stop)
        boto3.client("dynamodb").create_table(
            TableName="seen", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        self.time = 1_000_000
        self.store = app.DynamoDBStore("seen", lambda: self.time)

    def test_done_stays_done(self):
        self.assertIs(self.store.claim("a"), app.Claim.MINE)
        self.assertIs(self.store.claim("a"), app.Claim.BUSY)
        self.store.mark_done("a")
        self.time += 10 * app.LEASE
        self.assertIs(self.store.claim("a"), app.Claim.DONE)

    def test_released(self):
        self.store.claim("a")
        self.store.release("a")
        self.assertIs(self.store.claim("a"), app.Claim.MINE)

    def test_process_ended(self):
        self.store.claim("a")
        self.time += app.LEASE + 1
        self.assertIs(self.store.claim("a"), app.Claim.MINE)
        self.assertIs(self.store.claim("a"), app.Claim.BUSY)


if __name__ == "__main__":
    unittest.main()
