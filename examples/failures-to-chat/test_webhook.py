"""python3 -m unittest: no packages are needed."""

import http.server
import json
import pathlib
import threading
import unittest
import unittest.mock
import urllib.error

import webhook

GOLDENS = pathlib.Path(__file__).parents[2] / "internal/result/testdata"


def message(golden):
    return json.loads((GOLDENS / golden).read_text())["message"]


class Chat(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.lines.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


class TestWebhook(unittest.TestCase):
    def setUp(self):
        self.chat = http.server.HTTPServer(("127.0.0.1", 0), Chat)
        self.chat.status, self.chat.lines = 200, []
        threading.Thread(target=self.chat.serve_forever, daemon=True).start()
        self.addCleanup(self.chat.server_close)
        self.addCleanup(self.chat.shutdown)
        url = f"http://127.0.0.1:{self.chat.server_port}/"
        patch = unittest.mock.patch.object(webhook, "webhook_url", lambda: url)
        patch.start()
        self.addCleanup(patch.stop)

    def invoke(self, *results):
        webhook.handler({"Records": [{"Sns": {"Message": json.dumps(r)}} for r in results]}, None)

    def test_lines(self):
        self.invoke(message("failed.json"), message("rejected-invalid.json"))
        self.assertEqual(self.chat.lines, [
            "vault 3b5816b5-f29c-4172-9d9a-76c719a659ce to region2: failed, Throttled APIG.0308: too many requests (nightly-2026-11-23)",
            "a request that cannot be read: rejected, InvalidEvent: replicate.vault_id: expected a UUID (nightly-2026-11-23)",
        ])

    def test_partial(self):
        self.invoke(message("partial.json"))
        self.assertEqual(self.chat.lines, [
            "vault 3b5816b5-f29c-4172-9d9a-76c719a659ce to region2: partial, CopyIncomplete: 1 of 2 copies is not there (nightly-2026-11-23)\n"
            "- backup b-2: fail BackupService.6203 busy",
        ])

    def test_no_copy(self):
        result = message("partial.json")
        result["data"]["status"] = "failed"
        result["data"]["error"]["kind"] = "CopyFailed"
        result["data"]["backups"] = [{"backup_id": f"b-{n}", "status": "skip", "resource_name": f"vm-{n}"} for n in range(7)]
        self.invoke(result)
        lines = self.chat.lines[0].split("\n")
        self.assertEqual(lines[1:], [f"- vm-{n} b-{n}: skip" for n in range(5)] + ["- and 2 more in the result"])

    def test_not_followed(self):
        result = message("partial.json")
        result["data"]["status"] = "failed"
        del result["data"]["backups"]
        self.invoke(result)
        self.assertEqual(len(self.chat.lines[0].split("\n")), 1)

    def test_markup(self):
        result = message("rejected.json")
        result["data"]["error"]["message"] = "<!channel> & all"
        self.invoke(result)
        self.assertIn("&lt;!channel&gt; &amp; all", self.chat.lines[0])

    def test_refused(self):
        self.chat.status = 500
        with self.assertRaises(urllib.error.HTTPError):
            self.invoke(message("failed.json"))


if __name__ == "__main__":
    unittest.main()
