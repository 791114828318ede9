"""python3 -m unittest: no packages are needed."""

import http.server
import json
import threading
import unittest
import unittest.mock
import urllib.error

import incidents


def result(status, vault="v-1", kind="Stale"):
    data = {"status": status, "request": {"check": {"vault_id": vault, "destination_vault_id": "d", "destination_region": "region2"}}, "replica": {"age_s": 200000}}
    if status == "stale":
        data["error"] = {"kind": kind, "message": "1 of 2 resources has no newer replica"}
    return {"source": "https://cbr", "time": "2026-11-28T02:00:00Z", "data": data}


class Pager(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


class TestIncidents(unittest.TestCase):
    def setUp(self):
        self.pager = http.server.HTTPServer(("127.0.0.1", 0), Pager)
        self.pager.status, self.pager.events = 202, []
        threading.Thread(target=self.pager.serve_forever, daemon=True).start()
        self.addCleanup(self.pager.server_close)
        self.addCleanup(self.pager.shutdown)
        for patch in (
            unittest.mock.patch.object(incidents, "routing_key", lambda: "key"),
            unittest.mock.patch.dict("os.environ", EVENTS_URL=f"http://127.0.0.1:{self.pager.server_port}/v2/enqueue"),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def invoke(self, *results):
        incidents.handler({"Records": [{"Sns": {"Message": json.dumps(r)}} for r in results]}, None)
        return self.pager.events

    def test_opened_and_closed(self):
        opened, again, closed, other = self.invoke(result("stale"), result("stale", kind="NeverReplicated"), result("current"), result("stale", vault="v-2"))
        self.assertEqual((opened["event_action"], again["event_action"], closed["event_action"]), ("trigger", "trigger", "resolve"))
        self.assertEqual(opened["dedup_key"], again["dedup_key"])
        self.assertEqual(opened["dedup_key"], closed["dedup_key"])
        self.assertNotEqual(opened["dedup_key"], other["dedup_key"])
        self.assertEqual(opened["payload"]["summary"], "vault v-1 to region2: Stale: 1 of 2 resources has no newer replica")
        self.assertNotIn("payload", closed)

    def test_refused(self):
        self.pager.status = 429
        with self.assertRaises(urllib.error.HTTPError):
            self.invoke(result("stale"))


if __name__ == "__main__":
    unittest.main()
