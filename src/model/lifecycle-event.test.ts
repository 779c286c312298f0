import assert from "node:assert/strict";
import { test } from "node:test";
import { fromJson, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { LifecycleEventSchema } from "../../test/support/descriptors.ts";
import { MAX_LIFECYCLE_EVENT_BYTES } from "../wire/limits.ts";
import { EventKind as FrozenKind } from "../wire/messages.ts";
import {
  decodeLifecycleEvent,
  EVENT_KINDS,
  type EventKind,
  encodeLifecycleEvent,
  type LifecycleEvent,
  SEVERITIES,
  type Severity,
} from "./lifecycle-event.ts";

const EVENT: LifecycleEvent = {
  tsMs: 1_700_000_000_123,
  pid: 4211,
  service: "demo",
  kind: "SPAWN",
  reason: "ready 271 ms after its launch began",
  extra: { type: "backend-state", version: "1.2.0" },
  severity: "INFO",
  requestId: "7",
  connectionId: 12,
  instance: "private:demo",
};

/** Everything a peer or a file could put into a text: lone surrogates, controls, quotes, several bytes a character. */
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 800 }),
  fc.string({
    unit: fc.constantFrom(
      '"',
      "\\",
      "\n",
      "\u0000",
      "\u009b",
      "\u061c",
      "\u200b",
      "\ufff9",
      "\u{e0041}",
      "\ud83e",
      "\udd8a",
      "\u{1f98a}",
      "é",
    ),
    maxLength: 700,
  }),
);

const anyEvent: fc.Arbitrary<LifecycleEvent> = fc.record({
  tsMs: fc.oneof(fc.nat(), fc.double(), fc.maxSafeInteger()),
  pid: fc.oneof(fc.nat(), fc.double(), fc.constant(2 ** 40)),
  service: anyText,
  kind: fc.constantFrom(...(Object.keys(EVENT_KINDS) as EventKind[])),
  reason: anyText,
  extra: fc.dictionary(anyText, anyText, { maxKeys: 6 }),
  severity: fc.constantFrom(...(Object.keys(SEVERITIES) as Severity[])),
  requestId: anyText,
  connectionId: fc.maxSafeInteger(),
  instance: anyText,
});

test("a record is the frozen message in its JSON form", () => {
  const line = encodeLifecycleEvent(EVENT);
  assert.equal(
    line,
    '{"ts_ms":1700000000123,"pid":4211,"service_name":"demo","kind":"SPAWN","reason":"ready 271 ms after its launch began",' +
      '"extra":{"type":"backend-state","version":"1.2.0"},"severity_number":9,"severity_text":"INFO","request_id":"7",' +
      '"connection_id":12,"broker_instance":"private:demo"}\n',
  );
  const message = fromJson(LifecycleEventSchema, JSON.parse(line));
  assert.deepEqual(
    [message.tsMs, message.pid, message.serviceName, message.kind, message.connectionId, message.extra.version],
    [1_700_000_000_123n, 4211, "demo", FrozenKind.SPAWN, 12n, "1.2.0"],
  );
  assert.deepEqual(decodeLifecycleEvent(line), EVENT);
});

test("kinds and numbers are the frozen ones, all of them", () => {
  const frozen = Object.entries(FrozenKind).filter(([, number]) => typeof number === "number");
  assert.deepEqual(
    Object.fromEntries(Object.entries(EVENT_KINDS).map(([name, { number }]) => [name, number])),
    Object.fromEntries(frozen),
  );
});

test("whatever goes in, a line has at most 512 bytes, is one line, and is read again; so is its message", () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      const line = encodeLifecycleEvent(event);
      assert.ok(Buffer.byteLength(line) <= MAX_LIFECYCLE_EVENT_BYTES, `${Buffer.byteLength(line)} bytes`);
      assert.equal(line.indexOf("\n"), line.length - 1);
      assert.doesNotMatch(line.slice(0, -1), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
      // Cut within a character or an escape it would come back as something else.
      assert.equal(Buffer.from(line).toString("utf8"), line);
      const back = decodeLifecycleEvent(line);
      assert.ok(back !== undefined);
      assert.deepEqual([back.kind, back.severity], [event.kind, event.severity]);
      for (const [got, gave] of [
        [back.service, event.service],
        [back.reason, event.reason],
        [back.instance, event.instance],
      ] as const)
        assert.ok(
          got === gave || (got === "" && gave !== "") || gave.startsWith(got.slice(0, -1)),
          JSON.stringify([got, gave]),
        );
      for (const [key, value] of Object.entries(back.extra)) assert.equal(value, event.extra[key]);
      assert.equal(encodeLifecycleEvent(back), line);
      // Lone surrogates have no form in protobuf.
      if (!/\\ud[89a-f]/.test(line))
        assert.ok(toBinary(LifecycleEventSchema, fromJson(LifecycleEventSchema, JSON.parse(line))).length <= 512);
    }),
    { numRuns: 2000 },
  );
});

test("names at their longest leave room for the type, and a long reason is cut, not what programs read", () => {
  const line = encodeLifecycleEvent({
    ...EVENT,
    tsMs: Number.MAX_SAFE_INTEGER,
    pid: 2 ** 32 - 1,
    service: "s".repeat(64),
    kind: "CACHE_CORRUPTION_DETECTED",
    reason: "r".repeat(5000),
    extra: { type: "backend-launch-failed" },
    severity: "ERROR",
    requestId: String(2n ** 64n - 1n),
    connectionId: Number.MAX_SAFE_INTEGER,
    instance: `private:${"s".repeat(64)}`,
  });
  assert.equal(Buffer.byteLength(line), MAX_LIFECYCLE_EVENT_BYTES);
  const back = decodeLifecycleEvent(line);
  assert.equal(back?.service, "s".repeat(64));
  assert.equal(back?.instance, `private:${"s".repeat(64)}`);
  assert.equal(back?.extra.type, "backend-launch-failed");
  assert.match(back?.reason ?? "", /^r{20,}…$/);
});

test("entries in front are kept when room is short, whole or not at all", () => {
  const { extra } = decodeLifecycleEvent(
    encodeLifecycleEvent({
      ...EVENT,
      reason: "r".repeat(600),
      extra: { first: "1", long: "x".repeat(400), last: "2" },
    }),
  ) as LifecycleEvent;
  assert.deepEqual(extra, { first: "1", last: "2" });
});

test("lines that are torn, foreign or newer are nothing, and do not hide the record behind them", () => {
  const line = encodeLifecycleEvent(EVENT);
  for (const bad of [
    "",
    "{}",
    "hello",
    line.slice(0, 200),
    line.replace('"SPAWN"', '"SOMETHING_NEW"'),
    line.replace('"SPAWN"', '"__proto__"'),
    line.replace("1700000000123", '"yesterday"'),
    line.replace("1700000000123", "-1"),
    '{"ts_ms":1}',
    '{"ts_ms":[]',
  ])
    assert.equal(decodeLifecycleEvent(bad), undefined, bad);
  for (let cut = 0; cut < line.length - 1; cut += 7)
    assert.deepEqual(decodeLifecycleEvent(line.slice(0, cut) + line), EVENT, String(cut));
});

test("fields of a newer version are left aside, wrong ones count as empty", () => {
  assert.deepEqual(
    decodeLifecycleEvent(
      '{"ts_ms":5,"kind":"SPAWN","new_field":{"a":1},"pid":"x","reason":7,"extra":{"a":1,"b":"2"},"severity_number":21}',
    ),
    {
      tsMs: 5,
      pid: 0,
      service: "",
      kind: "SPAWN",
      reason: "",
      extra: { b: "2" },
      severity: "ERROR",
      requestId: "",
      connectionId: 0,
      instance: "",
    },
  );
});

test("what a record says of itself cannot pass for the beginning of another", () => {
  const event = { ...EVENT, reason: '{"ts_ms":1,"kind":"SPAWN"}', service: '{"ts_ms":1,"kind":"SPAWN"}' };
  assert.deepEqual(decodeLifecycleEvent(encodeLifecycleEvent(event)), event);
});
