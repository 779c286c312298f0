import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../base/errors.ts";
import { backendAddress, backendLabels, inheritedListenerFd } from "./launch-environment.ts";

const PID = 1234;
const PIPE = "RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE";
const FD = "RUNNING_PROCESS_BROKER_LISTENER_FD";

test("the broker's endpoint and namespace are taken as they are, before any other endpoint", () => {
  const env = { [PIPE]: "/run/x.sock ", RUNNING_PROCESS_BROKER_V1_BACKEND_NAMESPACE: "private:a" };
  assert.deepEqual(backendAddress(env, "/tmp/mine.sock"), { path: "/run/x.sock ", namespaceId: "private:a" });
});

test("without a broker the given endpoint counts, and without that there is none", () => {
  assert.deepEqual(backendAddress({ [PIPE]: "" }, "/tmp/mine.sock"), { path: "/tmp/mine.sock", namespaceId: "direct" });
  assert.throws(
    () => backendAddress({}),
    (error) => hasCode(error, "LAUNCHED_WITHOUT_ENDPOINT"),
  );
  assert.throws(
    () => backendAddress({}, ""),
    (error) => hasCode(error, "LAUNCHED_WITHOUT_ENDPOINT"),
  );
});

test("labels come from the launch, empty ones count as none", () => {
  const env = { RUNNING_PROCESS_BROKER_V1_SERVICE_NAME: "fmt", RUNNING_PROCESS_BROKER_V1_SERVICE_VERSION: "" };
  assert.deepEqual(backendLabels(env), { service: "fmt", version: undefined });
});

test("the broker's listener variable is a trimmed decimal number and wins over systemd's", () => {
  assert.equal(inheritedListenerFd({ [FD]: " 7\n", LISTEN_FDS: "1", LISTEN_PID: String(PID) }, PID), 7);
  assert.equal(inheritedListenerFd({}, PID), undefined);
});

for (const text of ["", " ", "-1", "0x3", "3a", "3.0", "99999999999"]) {
  test(`the listener variable ${JSON.stringify(text)} is refused instead of binding anew`, () => {
    assert.throws(
      () => inheritedListenerFd({ [FD]: text }, PID),
      (error) => hasCode(error, "LISTENER_INVALID"),
    );
  });
}

test("systemd's single descriptor is number 3, if it is meant for this process", () => {
  assert.equal(inheritedListenerFd({ LISTEN_FDS: "1", LISTEN_PID: String(PID) }, PID), 3);
  assert.equal(inheritedListenerFd({ LISTEN_FDS: "1", LISTEN_PID: String(PID + 1) }, PID), undefined);
  assert.equal(inheritedListenerFd({ LISTEN_FDS: "1" }, PID), undefined);
  assert.equal(inheritedListenerFd({ LISTEN_PID: String(PID) }, PID), undefined);
});

test("another count of descriptors than one is refused", () => {
  for (const count of ["0", "2", "x"]) {
    assert.throws(
      () => inheritedListenerFd({ LISTEN_FDS: count, LISTEN_PID: String(PID) }, PID),
      (error) => hasCode(error, "LISTENER_INVALID"),
    );
  }
});
