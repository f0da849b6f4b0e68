"""A web service for test/t/024_api.pl: answers as the path says.

/status/N answers N, with the query string as its Retry-After. /date/N answers
N and wishes to be asked in 200 seconds, as a moment. /flaky answers 503 once,
then 200. /drop closes the connection, /hang waits for the file "answer".
Port and requests are written into the directory given.
"""
import email.utils
import http.server
import os
import sys
import time
import urllib.parse

directory = sys.argv[1]
seen = set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        path, _, query = self.path.partition("?")
        kind, _, rest = path[1:].partition("/")
        key = self.headers.get("Idempotency-Key")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        with open(f"{directory}/requests", "a") as log:
            log.write(f"{self.command} {self.path} {key} {body}\n")
        status, headers = 200, {}
        if kind in ("status", "date"):
            status = int(rest)
        if kind == "date":
            headers["Retry-After"] = email.utils.formatdate(time.time() + 3600 + 200, usegmt=True)
        elif query:
            headers["Retry-After"] = urllib.parse.unquote(query)
        if kind == "flaky" and key not in seen:
            seen.add(key)
            status, headers = 503, {"Retry-After": "0"}
        if kind == "drop":
            self.close_connection = True
            return
        while kind == "hang" and not os.path.exists(f"{directory}/answer"):
            time.sleep(0.01)
        text = b"hello \x00\xff" if status != 204 else b""
        # a clock that is an hour fast must not matter
        self.send_response_only(status)
        self.send_header("Date", email.utils.formatdate(time.time() + 3600, usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        if 300 <= status < 400:
            self.send_header("Location", "/status/200")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = answer

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(f"{directory}/port.new", "w") as file:
    file.write(str(server.server_address[1]))
os.rename(f"{directory}/port.new", f"{directory}/port")
server.serve_forever()
