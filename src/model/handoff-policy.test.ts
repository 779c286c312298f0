import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseHandoffSettings } from "./exec-settings.ts";
import {
  createHandoffPolicy,
  FAILURE_WINDOW_MS,
  FAILURES_PER_WINDOW,
  FALLBACK_REASONS,
  type FallbackReason,
  type HandoffCandidate,
  type HandoffPolicy,
} from "./handoff-policy.ts";

const GOOD: HandoffCandidate = {
  key: "svc@1.0.0",
  clientSupports: true,
  transportAvailable: true,
  settings: parseHandoffSettings({}),
  fdPressure: false,
  adopted: false,
};
const YES = { ok: true };

/** In the order of the checks. */
const OFF: readonly (readonly [string, Partial<HandoffCandidate>, FallbackReason])[] = [
  ["client input off", { clientSupports: false }, "client-unsupported"],
  ["platform without transport", { transportAvailable: false }, "service-policy-disabled"],
  ["policy off", { settings: parseHandoffSettings({ "handoff.enabled": "false" }) }, "service-policy-disabled"],
  ["fd pressure", { fdPressure: true }, "fd-pressure-disabled"],
  ["adopted backend", { adopted: true }, "adopted-backend"],
];

describe("the reasons", () => {
  test("are the eight of the spec; three of them count as failures, one comes with a hint", () => {
    assert.deepEqual(Object.keys(FALLBACK_REASONS).sort(), [
      "adopted-backend",
      "backend-ack-timeout",
      "client-unsupported",
      "failed-attempt-rate-limited",
      "fd-pressure-disabled",
      "integrity-mismatch",
      "permission-denied",
      "service-policy-disabled",
    ]);
    const rows = Object.entries(FALLBACK_REASONS);
    assert.deepEqual(
      rows
        .filter(([, row]) => row.counted)
        .map(([reason]) => reason)
        .sort(),
      ["backend-ack-timeout", "integrity-mismatch", "permission-denied"],
    );
    assert.deepEqual(
      rows.filter(([, row]) => row.retryHint).map(([reason]) => reason),
      ["failed-attempt-rate-limited"],
    );
  });
});

describe("a handoff is skipped (handoff_fallback_perm_denied, handoff_adopted_backend)", () => {
  test("never when nothing speaks against it", () => {
    assert.deepEqual(createHandoffPolicy().decide(GOOD, 0), YES);
  });

  for (const [index, [name, off, reason]] of OFF.entries()) {
    test(`${name}: ${reason}, before everything behind it`, () => {
      const policy = createHandoffPolicy({ failures: 1 });
      assert.deepEqual(policy.decide({ ...GOOD, ...off }, 0), { ok: false, reason });
      policy.recordFailure(GOOD.key, "permission-denied", 0);
      const behind = Object.assign({}, ...OFF.slice(index).map(([, values]) => values), off);
      assert.deepEqual(policy.decide({ ...GOOD, ...behind }, 0), { ok: false, reason });
    });
  }

  test("under fd pressure only when the service does not say otherwise", () => {
    const settings = parseHandoffSettings({ "handoff.disable_under_fd_pressure": "false" });
    assert.deepEqual(createHandoffPolicy().decide({ ...GOOD, fdPressure: true, settings }, 0), YES);
  });
});

describe("the failure budget", () => {
  test("is eight in thirty seconds", () => {
    const policy = createHandoffPolicy();
    assert.deepEqual([FAILURES_PER_WINDOW, FAILURE_WINDOW_MS], [8, 30_000]);
    for (let i = 0; i < 8; i++) {
      assert.deepEqual(policy.decide(GOOD, i), YES);
      policy.recordFailure(GOOD.key, "backend-ack-timeout", i);
    }
    assert.deepEqual(policy.decide(GOOD, 8), limited(29_992));
  });

  test("budget 2 per 30 s, 3 failures: saturates at 2; limited with retry <= 30 s; at 31 s allowed and count 0", () => {
    const policy = createHandoffPolicy({ failures: 2 });
    for (let i = 0; i < 3; i++) policy.recordFailure(GOOD.key, "permission-denied", 0);
    assert.equal(policy.failures(GOOD.key, 0), 2);
    assert.deepEqual(policy.decide(GOOD, 0), limited(30_000));
    assert.deepEqual(policy.decide(GOOD, 29_998.5), limited(2), "rounded up");
    assert.deepEqual(policy.decide(GOOD, 29_999.5), limited(1));
    assert.deepEqual(policy.decide(GOOD, 31_000), YES);
    assert.equal(policy.failures(GOOD.key, 31_000), 0);
  });

  test("has a window that begins with the first failure and ends at thirty seconds, whatever comes in between", () => {
    const policy = createHandoffPolicy({ failures: 2 });
    policy.recordFailure(GOOD.key, "permission-denied", 0);
    policy.recordFailure(GOOD.key, "permission-denied", 29_000);
    assert.deepEqual(policy.decide(GOOD, 29_000), limited(1000));
    assert.deepEqual(policy.decide(GOOD, 30_000), YES);
    policy.recordFailure(GOOD.key, "permission-denied", 30_000);
    assert.equal(policy.failures(GOOD.key, 30_000), 1);
  });

  test("is not prolonged by failures that no longer count", () => {
    const policy = createHandoffPolicy({ failures: 1 });
    policy.recordFailure(GOOD.key, "permission-denied", 0);
    policy.recordFailure(GOOD.key, "permission-denied", 29_999);
    assert.deepEqual(policy.decide(GOOD, 30_000), YES);
  });

  for (const [reason, { counted }] of Object.entries(FALLBACK_REASONS) as [FallbackReason, { counted: boolean }][]) {
    test(`${reason} ${counted ? "uses it" : "does not use it"}`, () => {
      const policy = createHandoffPolicy();
      policy.recordFailure(GOOD.key, reason, 0);
      assert.equal(policy.failures(GOOD.key, 0), counted ? 1 : 0);
    });
  }

  test("success: budget reset", () => {
    const policy = createHandoffPolicy({ failures: 1 });
    policy.recordFailure(GOOD.key, "permission-denied", 0);
    policy.recordSuccess(GOOD.key);
    assert.equal(policy.failures(GOOD.key, 0), 0);
    assert.deepEqual(policy.decide(GOOD, 0), YES);
  });

  test("is each backend's own", () => {
    const policy = createHandoffPolicy({ failures: 1 });
    policy.recordFailure(GOOD.key, "permission-denied", 0);
    assert.deepEqual(policy.decide({ ...GOOD, key: "svc@1.0.1" }, 0), YES);
    policy.recordSuccess("svc@1.0.1");
    assert.equal(policy.decide(GOOD, 0).ok, false);
  });
});

describe("attempts per minute", () => {
  const twice = { ...GOOD, settings: parseHandoffSettings({ "handoff.max_attempts_per_minute": "2" }) };

  test("are limited by the label, with the rest of the minute as hint", () => {
    const policy = createHandoffPolicy();
    assert.deepEqual(policy.decide(twice, 0), YES);
    assert.deepEqual(policy.decide(twice, 100), YES);
    assert.deepEqual(policy.decide(twice, 100), limited(59_900));
    assert.deepEqual(policy.decide(twice, 60_000), YES);
  });

  test("are not used up by connections that were not to be handed over anyway", () => {
    const policy = createHandoffPolicy();
    for (let i = 0; i < 5; i++) policy.decide({ ...twice, adopted: true }, 0);
    assert.deepEqual(policy.decide(twice, 0), YES);
  });

  test("stay counted after a success", () => {
    const policy = createHandoffPolicy();
    policy.decide(twice, 0);
    policy.decide(twice, 0);
    policy.recordSuccess(twice.key);
    assert.deepEqual(policy.decide(twice, 0), limited(60_000));
  });

  test("come behind the failure budget", () => {
    const policy = createHandoffPolicy({ failures: 1 });
    policy.decide(twice, 0);
    policy.decide(twice, 0);
    policy.recordFailure(twice.key, "permission-denied", 0);
    assert.deepEqual(policy.decide(twice, 0), limited(30_000));
    assert.deepEqual(policy.decide(twice, 30_000), limited(30_000), "then the minute");
  });

  test("have no limit without the label", () => {
    const policy = createHandoffPolicy();
    for (let i = 0; i < 20_000; i++) assert.equal(policy.decide(GOOD, 0).ok, true);
  });
});

describe("backends counted at once", () => {
  test("are 1024, whatever comes: the one counted longest is forgotten", () => {
    const policy = createHandoffPolicy({ failures: 1 });
    for (let i = 0; i < 1024; i++) policy.recordFailure(`k${i}`, "permission-denied", i);
    assert.equal(countKnown(policy, 1024), 1024);
    policy.recordFailure("new", "permission-denied", 1024);
    assert.deepEqual(
      [policy.failures("k0", 1024), policy.failures("k1", 1024), policy.failures("new", 1024)],
      [0, 1, 1],
    );
  });

  test("a window that starts anew makes its backend the youngest", () => {
    const policy = createHandoffPolicy({ failures: 1, windowMs: 10 });
    policy.recordFailure("k0", "permission-denied", 0);
    policy.recordFailure("k1", "permission-denied", 5);
    policy.recordFailure("k0", "permission-denied", 10);
    for (let i = 2; i <= 1024; i++) policy.recordFailure(`k${i}`, "permission-denied", 11);
    assert.deepEqual([policy.failures("k0", 11), policy.failures("k1", 11)], [1, 0]);
  });
});

function limited(retryAfterMs: number): object {
  return { ok: false, reason: "failed-attempt-rate-limited", retryAfterMs };
}

function countKnown(policy: HandoffPolicy, nowMs: number): number {
  return Array.from({ length: 2000 }, (_, i) => policy.failures(`k${i}`, nowMs)).filter((count) => count > 0).length;
}
