/**
 * The calls of the ports that may fail by their documentation, of which the n-th does: so every acquisition is followed once
 * by a failure of the next one.
 */
import { BrokerError } from "../../../src/base/errors.ts";
import type { Platform } from "../../../src/platform/ports.ts";

export interface Failpoint {
  readonly platform: Platform;
  /** The n-th call from now on fails (1 is the next), once. */
  arm(n: number): void;
  /** What failed since `arm`; undefined when there were fewer calls. */
  disarm(): string | undefined;
}

const MAY_FAIL = {
  files: [
    "facts",
    "realpath",
    "read",
    "list",
    "writeAtomic",
    "remove",
    "ensurePrivateDirectory",
    "sha256Executable",
    "openLog",
    "open",
  ],
  locks: ["tryAcquire", "acquire", "adopt"],
  transport: ["listen", "connect", "pair", "adoptListener"],
  processes: ["spawn", "spawnAndAwaitLine"],
} as const;

export function createFailpoint(platform: Platform, errno: string): Failpoint {
  let left = 0;
  let fired: string | undefined;
  const wrap = <P extends object>(port: P, name: string, methods: readonly string[]): P => {
    const wrapped = { ...port } as Record<string, unknown>;
    for (const method of methods) {
      const real = (port as Record<string, (...args: unknown[]) => unknown>)[method];
      if (real === undefined) throw new Error(`there is no ${name}.${method}`);
      wrapped[method] = (...args: unknown[]): unknown => {
        left -= 1;
        if (left !== 0) return real(...args);
        fired = `${name}.${method}`;
        throw new BrokerError("IO_FAILED", `failpoint ${fired} failed: ${errno}`, {
          details: { syscall: method, errno, ...(typeof args[0] === "string" && { path: args[0] }) },
        });
      };
    }
    return wrapped as P;
  };
  return {
    platform: {
      ...platform,
      files: wrap(platform.files, "files", MAY_FAIL.files),
      locks: wrap(platform.locks, "locks", MAY_FAIL.locks),
      transport: wrap(platform.transport, "transport", MAY_FAIL.transport),
      processes: wrap(platform.processes, "processes", MAY_FAIL.processes),
    },
    arm(n) {
      left = n;
      fired = undefined;
    },
    disarm() {
      left = 0;
      return fired;
    },
  };
}
