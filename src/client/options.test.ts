import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import type { BackendIdentity } from "../model/identity.ts";
import { type ConnectOptions, checkConnectOptions } from "./options.ts";

const GOOD: ConnectOptions = { service: "demo", version: "1.2.3" };

test("good options pass, at the limits as well", () => {
  checkConnectOptions(GOOD);
  checkConnectOptions({
    ...GOOD,
    service: "a".repeat(64),
    version: `1.2.3-${"a".repeat(58)}`,
    clientVersion: "c".repeat(128),
    libName: "l".repeat(64),
    libVersion: "é".repeat(32),
    keepaliveSecs: 0,
    timeoutMs: 2 ** 31 - 1,
    definitionDirectory: "/d",
  });
});

const IDENTITY: BackendIdentity = {
  pid: 7,
  exePath: "/bin/demo",
  bootId: "",
  startedAtUnixMs: 1,
  endpoint: { namespaceId: "shared", path: "/other" },
};

// As a caller without types would write them.
const BAD: readonly [Record<string, unknown>, string, string | undefined][] = [
  [{ service: "Demo" }, "NAME_INVALID", undefined],
  [{ service: "" }, "NAME_INVALID", undefined],
  [{ service: undefined }, "OPTION_INVALID", "service"],
  [{ version: "1.2" }, "VERSION_INVALID", undefined],
  [{ version: "v1.2.3" }, "VERSION_INVALID", undefined],
  [{ version: 1 }, "OPTION_INVALID", "version"],
  [{ version: `1.2.3-${"a".repeat(59)}` }, "OPTION_INVALID", "version"],
  [{ clientVersion: "c".repeat(129) }, "OPTION_INVALID", "clientVersion"],
  [{ libName: "é".repeat(33) }, "OPTION_INVALID", "libName"],
  [{ libVersion: "l".repeat(65) }, "OPTION_INVALID", "libVersion"],
  [{ keepaliveSecs: -1 }, "OPTION_INVALID", "keepaliveSecs"],
  [{ keepaliveSecs: 1.5 }, "OPTION_INVALID", "keepaliveSecs"],
  [{ timeoutMs: 0 }, "OPTION_INVALID", "timeoutMs"],
  [{ timeoutMs: Number.NaN }, "OPTION_INVALID", "timeoutMs"],
  [{ timeoutMs: Number.POSITIVE_INFINITY }, "OPTION_INVALID", "timeoutMs"],
  // A text compares like a number: it once was a limit of a millisecond.
  [{ timeoutMs: "5000" }, "OPTION_INVALID", "timeoutMs"],
  [{ timeoutMs: 5000n }, "OPTION_INVALID", "timeoutMs"],
  [{ timeoutMs: null }, "OPTION_INVALID", "timeoutMs"],
  [{ timeoutMs: [5000] }, "OPTION_INVALID", "timeoutMs"],
  [{ timeoutMs: 2 ** 31 }, "OPTION_INVALID", "timeoutMs"],
  [{ keepaliveSecs: "30" }, "OPTION_INVALID", "keepaliveSecs"],
  [{ keepaliveSecs: 30n }, "OPTION_INVALID", "keepaliveSecs"],
  [{ definitionDirectory: "services" }, "OPTION_INVALID", "definitionDirectory"],
  [{ signal: {} }, "OPTION_INVALID", "signal"],
  [{ signal: null }, "OPTION_INVALID", "signal"],
  [{ signal: new AbortController() }, "OPTION_INVALID", "signal"],
  [{ env: "PATH=/bin" }, "OPTION_INVALID", "env"],
  [{ fallback: {} }, "OPTION_INVALID", "fallback"],
  [{ adopt: "yes" }, "OPTION_INVALID", "adopt"],
  [{ broker: "/run/b" }, "OPTION_INVALID", "broker"],
  [{ broker: null }, "OPTION_INVALID", "broker"],
  [{ broker: { autoStart: "no" } }, "OPTION_INVALID", "broker.autoStart"],
  [{ broker: { startCommand: "rpb" } }, "OPTION_INVALID", "broker.startCommand"],
  [{ broker: { startCommand: { file: "rpb" } } }, "OPTION_INVALID", "broker.startCommand.args"],
  [{ broker: { startCommand: { file: "rpb", args: [1] } } }, "OPTION_INVALID", "broker.startCommand.args[0]"],
  [{ verifyCached: {} }, "OPTION_INVALID", "verifyCached.endpoint"],
  [{ cachedEndpoint: "/be", verifyCached: 7 }, "OPTION_INVALID", "verifyCached"],
  [{ broker: { endpoint: 7 } }, "OPTION_INVALID", "broker.endpoint"],
  [{ cachedEndpoint: "/be", verifyCached: IDENTITY }, "OPTION_INVALID", "cachedEndpoint"],
];

for (const [fields, code, check] of BAD) {
  test(`refused before anything is done: ${inspect(fields).slice(0, 60)}`, () => {
    assert.throws(
      () => checkConnectOptions({ ...GOOD, ...fields } as ConnectOptions),
      (error: { code?: string; details?: { check?: string } }) => error.code === code && error.details?.check === check,
    );
  });
}
