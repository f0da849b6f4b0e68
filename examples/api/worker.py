#!/usr/bin/python3
"""An external worker that calls a web service.

    API_URL=https://api.example.com examples/api/worker.py [WORKER_ID]

It takes jobs of the type http_request. Their payload is the request:
{"method": "POST", "path": "/v1/charges", "body": {...}}; the result of a job is
{"status": 201, "body": "..."}. The connection to the database comes from
PGHOST, PGDATABASE, PGUSER and the like. TERM or INT ends it: a job in hand is
released, its attempt does not count.

API_TIMEOUT is how long the service may be silent (30 s), API_LEASE the lease
(60 s), both in seconds. Needs Debian's python3-psycopg2 and nothing else.
"""
import datetime
import email.utils
import http.client
import json
import os
import signal
import sys
import threading
import urllib.error
import urllib.request

import psycopg2

API_URL = os.environ["API_URL"].rstrip("/")
TIMEOUT = float(os.environ.get("API_TIMEOUT", "30"))
LEASE = datetime.timedelta(seconds=float(os.environ.get("API_LEASE", "60")))
WORKER_ID = sys.argv[1] if len(sys.argv) > 1 else f"api-{os.uname().nodename}-{os.getpid()}"
LONGEST_DELAY = datetime.timedelta(days=1)  # that a service may wish
LARGEST_BODY = 500_000  # bytes kept of an answer


class Stop(Exception):
    """TERM or INT came during a call."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None  # a redirect is an answer like any other, and the address is wrong


opener = urllib.request.build_opener(NoRedirect)
stopping = calling = False


def stop(signum, frame):
    global stopping
    stopping = True
    if calling:
        raise Stop


def connect():
    connection = psycopg2.connect("", application_name=WORKER_ID)
    connection.autocommit = True
    return connection.cursor()


def keep_leases():
    """Say that the worker is alive, three times a lease; ends with the process."""
    db = connect()
    while not finished.wait(LEASE.total_seconds() / 3):
        db.execute("SELECT * FROM taskq.worker_heartbeat(%s)", [WORKER_ID])


def moment(text):
    try:
        parsed = email.utils.parsedate_to_datetime(text)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.timezone.utc)
    except (TypeError, ValueError):
        return None


def wished_delay(headers):
    """Retry-After: seconds, or a moment, which counts from the service's own time."""
    wish = (headers.get("Retry-After") or "").strip()
    if wish.isascii() and wish.isdigit():
        delay = datetime.timedelta(seconds=min(int(wish), LONGEST_DELAY.total_seconds()))
    elif moment(wish):
        delay = moment(wish) - (moment(headers.get("Date")) or datetime.datetime.now(datetime.timezone.utc))
    else:
        return None
    return min(max(delay, datetime.timedelta(0)), LONGEST_DELAY)


def request_of(job_id, payload):
    """The request that the payload says; ValueError if it says none."""
    if not isinstance(payload, dict) or not isinstance(payload.get("path"), str):
        raise ValueError("the payload has no path")
    path, method, body = payload["path"], payload.get("method", "GET"), payload.get("body")
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise ValueError("the path does not begin with / or needs to be percent-encoded")
    if method not in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        raise ValueError("unknown method")
    return urllib.request.Request(
        API_URL + path, method=method, data=None if body is None else json.dumps(body).encode(),
        # the same in every attempt, so that the service can tell a repetition
        headers={"Idempotency-Key": f"taskq-{job_id}", "Content-Type": "application/json", "User-Agent": "taskq-example"})


def call(request):
    """(status, headers, body) as the service answers; OSError or HTTPException if it does not."""
    global calling
    try:
        calling = True
        if stopping:
            raise Stop
        with opener.open(request, timeout=TIMEOUT) as answer:
            return answer.status, answer.headers, answer.read(LARGEST_BODY)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read(LARGEST_BODY)
    finally:
        calling = False


def fail(db, job, message, error_type, code, delay=None):
    db.execute("SELECT taskq.fail_job(%s, %s, message => %s, error_type => %s, error_code => %s, retry_in => %s)",
               [*job, message, error_type, code, delay])


def fail_by_status(db, job, message, status, code, delay=None):
    db.execute("SELECT taskq.error_type_of_http_status(%s)", [status])
    fail(db, job, message, db.fetchone()[0] or "handler_error", code, delay)


def run(db, job_id, epoch, payload):
    """Do a job and settle it."""
    job = (job_id, epoch)
    try:
        status, headers, body = call(request_of(job_id, payload))
    except ValueError as error:
        return fail(db, job, str(error), "validation_error", "BAD_REQUEST")
    except (OSError, http.client.HTTPException) as error:
        return fail_by_status(db, job, f"no answer: {error!r}", None, "NO_ANSWER")
    except Stop:
        return db.execute("SELECT taskq.release_job(%s, %s)", job)
    text = body.decode("utf-8", "replace").replace("\0", "")
    if 200 <= status < 300:
        return db.execute("SELECT taskq.complete_job(%s, %s, %s)", [*job, json.dumps({"status": status, "body": text})])
    return fail_by_status(db, job, f"the service answered {status}: {text[:500]}", status if status < 600 else None,
                          f"HTTP_{status}", wished_delay(headers))


def main():
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, stop)
    db = connect()
    db.execute("SELECT taskq.register_worker(%s, '{http_request}', max_concurrent_jobs => 1, lease => %s, take_over => true)",
               [WORKER_ID, LEASE])
    threading.Thread(target=keep_leases, daemon=True).start()
    while not stopping:
        db.execute("SELECT job_id, epoch, payload FROM taskq.claim_job(%s, wait => '5 s')", [WORKER_ID])
        for job in db.fetchall():
            try:
                run(db, *job)
            except psycopg2.Error as error:
                if error.pgcode != "TQ003":
                    raise  # what is not settled is somebody else's when the lease is over
                print(f"job {job[0]} was lost: {error}", file=sys.stderr)
    finished.set()
    db.execute("SELECT taskq.unregister_worker(%s)", [WORKER_ID])


finished = threading.Event()
if __name__ == "__main__":
    main()
