import assert from "node:assert/strict";
import test from "node:test";
import { BrokerError } from "./errors.ts";
import { closedByPeer, isNoFile, isPeerGone, vacancyOf } from "./peer-errno.ts";
import { systemCallFailed } from "./system-error.ts";

const failed = (errno: string, syscall = "connect"): BrokerError =>
  systemCallFailed({ syscall, errno, path: "/run/x.sock" });

/** What Node throws or emits. */
const nodeError = (errno: string): Error => Object.assign(new Error(errno), { code: errno });

/** Says nothing of the other end: rights, the path, our own descriptors, another type of socket, a full backlog. */
const OTHERS = ["EACCES", "EPERM", "ELOOP", "ENAMETOOLONG", "EMFILE", "EPROTOTYPE", "EAGAIN", "EINTR", "ETIMEDOUT"];

test("a connect that finds no file or no listener says so, and every other failure does not", () => {
  for (const make of [failed, nodeError]) {
    for (const errno of ["ENOENT", "ENOTDIR"]) assert.equal(vacancyOf(make(errno)), "no-file", errno);
    for (const errno of ["ECONNREFUSED", "ECONNRESET"]) assert.equal(vacancyOf(make(errno)), "no-listener", errno);
    for (const errno of [...OTHERS, "EPIPE", "ENOTCONN", "ECONNABORTED"])
      assert.equal(vacancyOf(make(errno)), undefined, errno);
  }
});

test("no file is told from a file on which no process listens", () => {
  assert.deepEqual(["ENOENT", "ENOTDIR", "ECONNREFUSED", "ECONNRESET", "ELOOP", ""].map(isNoFile), [
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
});

test("a peer is gone when its end is closed, whether it had read everything or not", () => {
  for (const make of [failed, nodeError]) {
    for (const errno of ["EPIPE", "ECONNRESET"]) assert.ok(isPeerGone(make(errno)), errno);
    for (const errno of [...OTHERS, "ENOENT", "ECONNREFUSED", "ENOTCONN", "ECONNABORTED"])
      assert.equal(isPeerGone(make(errno)), false, errno);
  }
});

test("an exchange was cut by the peer when a frame or the connection ended early, not when a deadline passed", () => {
  assert.ok(closedByPeer(new BrokerError("FRAME_TRUNCATED", "x")));
  assert.ok(closedByPeer(failed("EPIPE", "send")));
  assert.equal(closedByPeer(new BrokerError("DEADLINE_EXCEEDED", "x")), false);
  assert.equal(closedByPeer(failed("ECONNABORTED", "recv")), false);
});

test("an errno in the details of another code, and a value that is no error, say nothing of a peer", () => {
  const details = { errno: "ECONNRESET" };
  for (const value of [new BrokerError("SPAWN_FAILED", "x", { details }), new Error("EPIPE"), "EPIPE", undefined]) {
    assert.equal(vacancyOf(value), undefined);
    assert.equal(closedByPeer(value), false);
  }
});
