/**
 * The calls of the ports that may fail by their documentation. Each of them fails once at its first call, its second, and so
 * on: so every acquisition is followed once by a failure of the next one.
 */
import { BrokerError } from "../../../src/base/errors.ts";
import type { Platform } from "../../../src/platform/ports/index.ts";

export interface Failpoint {
  readonly platform: Platform;
  /** The n-th call of `call` from now on fails (1 is the next), once. */
  arm(call: string, n: number): void;
  /** Has it failed since `arm`? */
  disarm(): boolean;
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
  endpoints: ["find", "isSame", "remove"],
  locks: ["tryAcquire", "acquire", "adopt"],
  transport: ["listen", "connect", "pair", "adoptListener"],
  processes: ["spawn", "spawnAndAwaitLine"],
} as const;

export function createFailpoint(platform: Platform, errno: string): Failpoint {
  let armed = "";
  let left = 0;
  let fired = false;
  const wrap = <P extends object>(port: P, name: string, methods: readonly string[]): P => {
    const wrapped = { ...port } as Record<string, unknown>;
    for (const method of methods) {
      const real = (port as Record<string, (...args: unknown[]) => unknown>)[method];
      if (real === undefined) throw new Error(`there is no ${name}.${method}`);
      wrapped[method] = (...args: unknown[]): unknown => {
        if (`${name}.${method}` !== armed) return real(...args);
        left -= 1;
        if (left !== 0) return real(...args);
        fired = true;
        throw new BrokerError("IO_FAILED", `failpoint ${armed} failed: ${errno}`, {
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
      endpoints: wrap(platform.endpoints, "endpoints", MAY_FAIL.endpoints),
      locks: wrap(platform.locks, "locks", MAY_FAIL.locks),
      transport: wrap(platform.transport, "transport", MAY_FAIL.transport),
      processes: wrap(platform.processes, "processes", MAY_FAIL.processes),
    },
    arm(call, n) {
      armed = call;
      left = n;
      fired = false;
    },
    disarm() {
      armed = "";
      return fired;
    },
  };
}

/**
 * Runs `attempt` for each call that may fail, and each time that it is made: as `files.list`, 1 and so on. It resolves to
 * whether the call was made so often. Returns the calls that were made at all.
 */
export async function sweepFailures(attempt: (call: string, n: number) => Promise<boolean>): Promise<string[]> {
  const made: string[] = [];
  for (const [port, methods] of Object.entries(MAY_FAIL))
    for (const method of methods) {
      const call = `${port}.${method}`;
      for (let n = 1; n <= MOST_CALLS && (await attempt(call, n)); n++) if (n === 1) made.push(call);
    }
  return made;
}

/** What is called more often is called for one thing after the other. */
const MOST_CALLS = 6;
