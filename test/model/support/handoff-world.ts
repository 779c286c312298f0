/** One handoff under way, with a real token store and registry, and effects of the test's. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type AckRegistry, createAckRegistry } from "../../../src/model/ack-registry.ts";
import {
  type HandoffEffects,
  type HandoffOutcome,
  runHandoff,
  type StageResult,
  UNIX_HANDOFF,
  type UnixEffect,
  WINDOWS_HANDOFF,
  type WindowsEffect,
} from "../../../src/model/handoff-stages.ts";
import {
  createHandoffTokenStore,
  type HandoffToken,
  type HandoffTokenStore,
} from "../../../src/model/handoff-tokens.ts";

export const HANDLE = 3052n;
export const TABLES = { unix: UNIX_HANDOFF, windows: WINDOWS_HANDOFF } as const;
export type System = keyof typeof TABLES;

/** Effects that replace those that succeed. */
export type Faults = Partial<Record<UnixEffect | WindowsEffect, () => StageResult | Promise<StageResult>>>;

interface World {
  readonly calls: string[];
  readonly token: HandoffToken;
  readonly tokens: HandoffTokenStore;
  readonly registry: AckRegistry;
  run(
    system: System,
    faults: Faults,
    endings?: Partial<Pick<HandoffEffects<never>, "revoke" | "sever">>,
  ): Promise<HandoffOutcome<string>>;
  /** The post-condition of every row: neither store nor registry knows the handoff any more. */
  assertTokenGone(): void;
}

/** A real token store and registry with one handoff under way, and effects that succeed unless told otherwise. */
export function createWorld(options: { deadlineMs?: number; acknowledgedAtMs?: number } = {}): World {
  const calls: string[] = [];
  const tokens = createHandoffTokenStore({ randomBytes });
  const registry = createAckRegistry({
    tokens,
    ...(options.deadlineMs !== undefined && { deadlineMs: options.deadlineMs }),
  });
  const issued = tokens.issue(0);
  assert.ok(issued.ok);
  const { token } = issued;
  registry.register(token, { serviceName: "svc", backendPid: 1 }, 0);
  const done = (): StageResult => ({ ok: true });
  const good: Record<UnixEffect | WindowsEffect, () => StageResult | Promise<StageResult>> = {
    send: done,
    duplicate: () => ({ ok: true, handle: HANDLE }),
    deliver: done,
    awaitAck: done,
    acknowledge: () => registry.acknowledge(token, options.acknowledgedAtMs ?? 3),
  };
  return {
    calls,
    token,
    tokens,
    registry,
    run(system, faults, endings = {}) {
      const wrap = (name: UnixEffect | WindowsEffect) => (handle: bigint) => {
        calls.push(`${name}(${handle})`);
        return (faults[name] ?? good[name])();
      };
      const effects = {
        send: wrap("send"),
        duplicate: wrap("duplicate"),
        deliver: wrap("deliver"),
        awaitAck: wrap("awaitAck"),
        acknowledge: wrap("acknowledge"),
        revoke: () => {
          calls.push("revoke");
          registry.abandon(token);
        },
        sever: () => {
          assert.equal(tokens.pending(0), 0, "the token is revoked before the connection is severed");
          calls.push("sever");
        },
        ...endings,
      };
      return system === "unix" ? runHandoff(UNIX_HANDOFF, effects) : runHandoff(WINDOWS_HANDOFF, effects);
    },
    assertTokenGone() {
      assert.equal(tokens.pending(0), 0);
      assert.equal(registry.pending, 0);
    },
  };
}
