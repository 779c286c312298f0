import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ACK_DEADLINE_MS, createAckRegistry } from "./ack-registry.ts";
import { acceptExpectedToken, createHandoffTokenStore, type HandoffToken } from "./handoff-tokens.ts";

const HANDOFF = { serviceName: "svc", backendPid: 0 };
const LATE = ACK_DEADLINE_MS;

describe("handoff_ack_deadline", () => {
  test("bit 0 in Hello: token issued, one pending ack (service name, pid 0)", () => {
    const { tokens, registry, begin } = world();
    const token = begin(100);
    assert.deepEqual([tokens.pending(100), registry.pending], [1, 1]);
    assert.deepEqual(registry.acknowledge(token, 142.5), { ok: true, handoff: HANDOFF, waitedMs: 42.5 });
  });

  test("bit 0 absent: no token, no pending entry, and no deadline", () => {
    const { tokens, registry } = world();
    assert.deepEqual([tokens.pending(0), registry.pending, registry.nextDeadlineMs()], [0, 0, undefined]);
    assert.deepEqual(registry.expireOverdue(1e9), []);
  });

  test("ack in time, then duplicate ack: success once; second not pending; store empty", () => {
    const { tokens, registry, begin } = world();
    const token = begin(0);
    assert.ok(registry.acknowledge(token, LATE - 1).ok);
    assert.deepEqual(reasonOf(registry.acknowledge(token, LATE - 1)), "not-pending");
    assert.deepEqual([tokens.pending(0), registry.pending], [0, 0]);
  });

  test("deadline passes + sweep: entry returned with its reason, token revoked, late ack not pending, backend rejects", () => {
    const { tokens, registry, begin } = world();
    const token = begin(0);
    assert.deepEqual(registry.expireOverdue(LATE - 1), []);
    assert.deepEqual(registry.expireOverdue(LATE), [
      { token, handoff: HANDOFF, waitedMs: LATE, reason: "backend-ack-timeout" },
    ]);
    assert.equal(tokens.pending(0), 0);
    assert.equal(reasonOf(registry.acknowledge(token, LATE)), "not-pending");
    const verdict = acceptExpectedToken(tokens, token, token.reveal(), LATE);
    assert.deepEqual(verdict, {
      accepted: false,
      reason: "not-pending",
      errorDetail: "handoff token is not pending",
    });
    assert.deepEqual(registry.expireOverdue(LATE), [], "returned once");
  });

  test("late ack without sweep: deadline exceeded, token revoked", () => {
    const { tokens, registry, begin } = world();
    const token = begin(10);
    const result = registry.acknowledge(token, 10 + LATE);
    assert.equal(reasonOf(result), "deadline-exceeded");
    assert.deepEqual([tokens.pending(10), registry.pending], [0, 0]);
    assert.equal(reasonOf(registry.acknowledge(token, 10 + LATE)), "not-pending");
  });

  test("expired handoff: a new Hello negotiates again", () => {
    const { registry, begin } = world();
    begin(0);
    registry.expireOverdue(LATE);
    const again = begin(LATE);
    assert.ok(registry.acknowledge(again, LATE + 1).ok);
  });
});

describe("an abandoned handoff", () => {
  test("leaves no entry and no token; a late ack is not pending", () => {
    const { tokens, registry, begin } = world();
    const token = begin(0);
    assert.equal(registry.abandon(token), true);
    assert.deepEqual([tokens.pending(0), registry.pending], [0, 0]);
    assert.equal(registry.abandon(token), false);
    assert.equal(reasonOf(registry.acknowledge(token, 1)), "not-pending");
  });

  test("has its token revoked even when it was never registered", () => {
    const { tokens, registry } = world();
    const issued = tokens.issue(0);
    assert.ok(issued.ok);
    assert.equal(registry.abandon(issued.token), false);
    assert.equal(tokens.pending(0), 0);
  });
});

describe("one timer for all", () => {
  test("the next deadline is that of the oldest entry, and follows what happens to it", () => {
    const { registry, begin } = world();
    const tokens = [begin(0), begin(10), begin(20), begin(30)];
    const [first, second, third] = tokens as [HandoffToken, HandoffToken, HandoffToken];
    assert.equal(registry.nextDeadlineMs(), LATE);
    registry.acknowledge(first, 31);
    assert.equal(registry.nextDeadlineMs(), LATE + 10);
    registry.abandon(second);
    assert.equal(registry.nextDeadlineMs(), LATE + 20);
    registry.register(third, HANDOFF, 40);
    assert.equal(registry.nextDeadlineMs(), LATE + 30, "registered anew, it comes behind the fourth");
    assert.equal(registry.expireOverdue(LATE + 30).length, 1);
    assert.equal(registry.nextDeadlineMs(), LATE + 40);
    assert.equal(registry.expireOverdue(LATE + 40).length, 1);
    assert.equal(registry.nextDeadlineMs(), undefined);
  });

  test("a deadline of zero is one of a millisecond", () => {
    const { registry, begin } = world(0);
    begin(5);
    assert.equal(registry.nextDeadlineMs(), 6);
    assert.equal(registry.expireOverdue(5.9).length, 0);
    assert.equal(registry.expireOverdue(6).length, 1);
  });
});

test("property: an entry leaves exactly once, and whatever leaves has no token left", () => {
  const operations = fc.array(
    fc.record({
      what: fc.constantFrom("begin", "begin", "acknowledge", "abandon", "sweep"),
      which: fc.nat(20),
      ms: fc.integer({ min: 0, max: 30 }),
    }),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(operations, (steps) => {
      const { tokens, registry, begin } = world(50);
      const all: HandoffToken[] = [];
      let nowMs = 0;
      let left = 0;
      for (const { what, which, ms } of steps) {
        nowMs += ms;
        const token = all[which % Math.max(1, all.length)];
        if (what === "begin") all.push(begin(nowMs));
        else if (what === "sweep") left += registry.expireOverdue(nowMs).length;
        else if (token !== undefined && what === "abandon") left += registry.abandon(token) ? 1 : 0;
        else if (token !== undefined) left += reasonOf(registry.acknowledge(token, nowMs)) === "not-pending" ? 0 : 1;
        assert.equal(registry.pending, all.length - left);
        assert.equal(tokens.pending(0), registry.pending);
        const next = registry.nextDeadlineMs();
        if (what === "sweep") assert.ok(next === undefined || next > nowMs);
      }
    }),
    { numRuns: 300 },
  );
});

function world(deadlineMs?: number) {
  const tokens = createHandoffTokenStore({ randomBytes });
  const registry = createAckRegistry({ tokens, ...(deadlineMs !== undefined && { deadlineMs }) });
  const begin = (nowMs: number): HandoffToken => {
    const issued = tokens.issue(nowMs);
    assert.ok(issued.ok);
    registry.register(issued.token, HANDOFF, nowMs);
    return issued.token;
  };
  return { tokens, registry, begin };
}

function reasonOf(result: { ok: boolean; reason?: string }): string | undefined {
  return result.ok ? undefined : result.reason;
}
