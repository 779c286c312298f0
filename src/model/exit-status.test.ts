import assert from "node:assert/strict";
import test from "node:test";
import { exitText, howItEnded } from "./exit-status.ts";

test("a process that exited has a status, 0 included", () => {
  for (const code of [0, 3, 255]) {
    assert.equal(exitText({ code, signal: null }), `status ${code}`);
    assert.equal(howItEnded({ code, signal: null }), `with status ${code}`);
  }
});

test("a process that a signal ended has that signal and no status", () => {
  for (const signal of ["SIGSEGV", "SIGKILL"] as const) {
    assert.equal(exitText({ code: null, signal }), `signal ${signal}`);
    assert.equal(howItEnded({ code: null, signal }), `by signal ${signal}`);
  }
});
