#!/usr/bin/env python3
"""Plays whoever the example systems call by HTTP: a mail sender, a payment provider.

    examples/party.py [--port 8090] [--rules RULES.json] [--fail N [--one-in K]]

Every POST with a JSON body is answered with 200 and {}, unless a rule says otherwise. RULES.json is
a list, the first that fits wins:

    {"path": "/payments", "when": {"/method": "stolen-card"}, "status": 402, "answer": {…}}

`when` names fields of the body by JSON pointer and the values they must have; without it every body
fits. With --fail N the first N attempts at a request (told apart by Idempotency-Key, else by path
and body) are answered with 503, as a party does that has a bad day; with --one-in K only at every
K-th request: a party that fails half of the time opens its caller's breaker. A repeated
Idempotency-Key gets the answer it got before, and is taken once.

GET /calls lists what was taken, in order: path, key, body, status. --port 0 takes any port. The
first line it prints is its address. It ends by Ctrl-C.
"""

import argparse
import http.server
import json
import pathlib
import threading


def field(body, pointer):
    for name in pointer.split("/")[1:]:
        if not isinstance(body, dict):
            return None
        body = body.get(name)
    return body


class Party:
    def __init__(self, rules, failures, one_in):
        self.rules, self.failures, self.one_in = rules, failures, one_in
        # Attempts at each request that are still to fail.
        self.attempts, self.answers, self.calls = {}, {}, []
        self.lock = threading.Lock()

    def take(self, path, key, body):
        """Status and answer of one request."""
        with self.lock:
            identity = key or path + json.dumps(body, sort_keys=True)
            fails = len(self.attempts) % self.one_in == 0
            left = self.attempts.get(identity, self.failures if fails else 0)
            self.attempts[identity] = max(left - 1, 0)
            if left > 0:
                return 503, {"error": "a bad day"}
            if key in self.answers:
                return self.answers[key]
            status, answer = self.rule(path, body)
            if key:
                self.answers[key] = status, answer
            self.calls.append({"path": path, "key": key, "body": body, "status": status})
            return status, answer

    def rule(self, path, body):
        for rule in self.rules:
            when = rule.get("when", {}).items()
            if rule["path"] == path and all(field(body, at) == value for at, value in when):
                return rule.get("status", 200), rule.get("answer", {})
        return 200, {}


def handler(party):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            text = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                body = json.loads(text or "null")
            except ValueError:
                return self.tell(400, {"error": "the body is no JSON"})
            self.tell(*party.take(self.path, self.headers.get("idempotency-key"), body))

        def do_GET(self):
            if self.path != "/calls":
                return self.tell(404, {"error": "only /calls can be read"})
            with party.lock:
                self.tell(200, party.calls)

        def tell(self, status, answer):
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            try:
                self.end_headers()
                self.wfile.write(text)
            except ConnectionError:
                # Who asked is gone, such as a host that was killed, and will ask again.
                self.close_connection = True

        def log_message(self, *_):
            pass

    return Handler


class Server(http.server.ThreadingHTTPServer):
    # So many may call at once; the default is 5, and then others find nobody.
    request_queue_size = 256


def main():
    words = argparse.ArgumentParser(description="Plays whoever the example systems call by HTTP.")
    words.add_argument("--port", type=int, default=8090)
    words.add_argument("--rules", type=pathlib.Path)
    words.add_argument("--fail", type=int, default=0, metavar="N")
    words.add_argument("--one-in", type=int, default=1, metavar="K")
    args = words.parse_args()
    rules = json.loads(args.rules.read_text()) if args.rules else []
    party = Party(rules, args.fail, max(args.one_in, 1))
    server = Server(("127.0.0.1", args.port), handler(party))
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
