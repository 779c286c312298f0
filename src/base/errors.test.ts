import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ErrorCode } from "../wire/messages.ts";
import {
  BrokerError,
  type BrokerErrorCode,
  codeOfWire,
  ERROR_TABLE,
  type ErrorRow,
  hasCode,
  isBrokerError,
  isPermanent,
  reasonOf,
} from "./errors.ts";

const ROWS = Object.entries(ERROR_TABLE) as [BrokerErrorCode, ErrorRow][];

describe("the table", () => {
  test("its wire numbers are exactly those of the protocol's ErrorCode, one row each", () => {
    const wireOfTable = ROWS.filter(([, row]) => row.wire !== undefined)
      .map(([code, row]) => [row.wire, code === "REFUSED_UNSPECIFIED" ? "UNSPECIFIED" : code])
      .sort();
    const wireOfProtocol = Object.entries(ErrorCode)
      .filter(([, number]) => typeof number === "number")
      .map(([name, number]) => [number, name.replace(/^ERROR_/, "").replace(/^CODE_UNSPECIFIED$/, "UNSPECIFIED")])
      .sort();
    assert.equal(wireOfProtocol.length, 10);
    assert.deepEqual(wireOfTable, wireOfProtocol);
  });

  test("codes are upper-case words and each is explained in whole sentences", () => {
    for (const [code, row] of ROWS) {
      assert.match(code, /^[A-Z]+(_[A-Z]+)*$/);
      assert.match(row.about, /^[A-Z].*\.$/, code);
    }
  });

  test("exit statuses say failure and only an abort looks like an interrupt", () => {
    for (const [code, row] of ROWS) {
      if (code === "ABORTED") assert.equal(row.exit, 130);
      else assert.ok(row.exit > 0 && row.exit < 126, `${code} exits ${row.exit}`);
    }
  });
});

test("docs/errors.md says what the table says", () => {
  const script = fileURLToPath(new URL("../../scripts/errors-doc.ts", import.meta.url));
  const run = spawnSync(process.execPath, ["--import", "tsx", script, "--check"], { encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
});

describe("a refusal's number", () => {
  test("gives the code of its row", () => {
    assert.equal(codeOfWire(2), "SERVICE_UNKNOWN");
    assert.equal(codeOfWire(9), "FD_PRESSURE");
    assert.equal(codeOfWire(0), "REFUSED_UNSPECIFIED");
  });

  test("that nobody knows is REFUSED_UNSPECIFIED", () => {
    for (const wire of [10, -1, 21, 0xffff]) assert.equal(codeOfWire(wire), "REFUSED_UNSPECIFIED");
  });
});

describe("BrokerError", () => {
  test("carries code, details and cause; its message begins with the code", () => {
    const cause = new Error("root");
    const error = new BrokerError("IO_FAILED", "read failed", { cause, details: { errno: "EIO" } });
    assert.equal(error.message, "[IO_FAILED] read failed");
    assert.equal(error.reason, "read failed");
    assert.equal(error.name, "BrokerError");
    assert.equal(error.cause, cause);
    assert.deepEqual(error.details, { errno: "EIO" });
    assert.ok(error instanceof Error);
  });

  test("has no cause of its own when none was given", () => {
    assert.ok(!("cause" in new BrokerError("INTERNAL", "x")));
  });

  test("is recognised by its brand, so also when it comes from another copy of the package", () => {
    const foreign = Object.assign(new Error("[IO_FAILED] x"), {
      [Symbol.for("running-process-broker.error")]: true,
      code: "IO_FAILED",
    });
    assert.ok(isBrokerError(foreign));
    assert.ok(hasCode(foreign, "INTERNAL", "IO_FAILED"));
    assert.ok(!hasCode(foreign, "INTERNAL"));
  });

  test("is not what merely has a code, nor nothing at all", () => {
    for (const value of [undefined, null, "IO_FAILED", Object.assign(new Error("x"), { code: "IO_FAILED" })]) {
      assert.ok(!isBrokerError(value));
      assert.ok(!hasCode(value, "IO_FAILED"));
    }
  });

  test("the brand stays out of what is printed and serialised", () => {
    assert.deepEqual(Object.keys(new BrokerError("INTERNAL", "x")).sort(), ["code", "details", "name"]);
  });
});

test("what fails again until a person changes something is permanent", () => {
  for (const [error, permanent] of [
    [new BrokerError("PATH_TOO_LONG", "x"), true],
    [new BrokerError("DIRECTORY_INSECURE", "x"), true],
    [new BrokerError("SPAWN_FAILED", "x", { details: { errno: "ENOEXEC" } }), true],
    [new BrokerError("SPAWN_FAILED", "x", { details: { errno: "EAGAIN" } }), false],
    [new BrokerError("SPAWN_FAILED", "x"), false],
    [new BrokerError("DEADLINE_EXCEEDED", "x"), false],
    // Of another copy of the package, with a code that this one does not know.
    [Object.assign(new BrokerError("INTERNAL", "x"), { code: "LATER_CODE" }), false],
  ] as const)
    assert.equal(isPermanent(error), permanent, error.message);
});

test("the reason of anything thrown is its text without our code", () => {
  assert.equal(reasonOf(new BrokerError("INTERNAL", "broken")), "broken");
  assert.equal(reasonOf(new Error("plain")), "plain");
  assert.equal(reasonOf("text"), "text");
});

test("whether a try can help is said by the code, and for a failed system call by what it said", () => {
  const failed = (code: BrokerErrorCode, errno?: string): BrokerError =>
    new BrokerError(code, "x", { details: { ...(errno !== undefined && { errno }) } });
  for (const errno of ["ENOSPC", "EDQUOT", "EROFS", "EIO", "EACCES", "ENOENT"]) {
    assert.equal(isPermanent(failed("IO_FAILED", errno)), true, errno);
    assert.equal(isPermanent(failed("SPAWN_FAILED", errno)), true, errno);
  }
  for (const errno of ["EMFILE", "ENFILE", "EAGAIN", "ENOMEM", "ECONNREFUSED", "ETXTBSY"]) {
    assert.equal(isPermanent(failed("IO_FAILED", errno)), false, errno);
    assert.equal(isPermanent(failed("SPAWN_FAILED", errno)), false, errno);
  }
  assert.equal(isPermanent(failed("PATH_TOO_LONG")), true);
  assert.equal(isPermanent(failed("PROCESS_EXITED")), false);
});
