/**
 * From spawn to ready. Whatever "ready" means for a definition, the process must be the intended binary by the kernel's
 * word; with `probe` it must also answer a fresh challenge as such. Only with `probe` is anything connected to.
 *
 * Failures are of two kinds: "not yet" (nothing listens, no answer, the shebang's `env` still runs) is tried again with
 * back-off until the deadline; a wrong answer, be it another identity or no identity at all, is final at once.
 */

import type { Deadline } from "../../base/clock.ts";
import { BrokerError, type BrokerErrorCode, hasCode, isBrokerError, reasonOf } from "../../base/errors.ts";
import { PROBE_TIMEOUT_MS } from "../../exchange/probe-endpoint.ts";
import { type VerifyPorts, verifyBackend, verifyProcess } from "../../exchange/verify-backend.ts";
import type { ExecSettings } from "../../model/exec-settings.ts";
import type { BackendIdentity } from "../../model/identity.ts";
import type { Platform } from "../../platform/ports/index.ts";
import { createHintedPause, createOwnListener, type HintedPause, type OwnListener } from "./own-listener.ts";

/** A Node program needs 40 ms to bind, a native one 2: looking early is cheap, looking often is not. */
const BACKOFF_MS = { first: 2, factor: 1.5, most: 200 };

/** `expected.pid` is our own child. */
const LAUNCHED = { launchedHere: true } as const;

export interface ReadinessOptions {
  readonly expected: BackendIdentity;
  readonly exec: Pick<ExecSettings, "bind" | "ready">;
  readonly deadline: Deadline;
  /** Fires when the process ended or the launch was given up. */
  readonly signal: AbortSignal;
}

export type ReadinessPorts = VerifyPorts & Pick<Platform, "endpoints">;

/** @throws BrokerError IDENTITY_MISMATCH, DEADLINE_EXCEEDED (naming the last thing that was in the way), ABORTED */
export async function awaitReadiness(platform: ReadinessPorts, options: ReadinessOptions): Promise<void> {
  const { deadline, signal, expected } = options;
  const listener = createOwnListener(platform, expected);
  let pause: HintedPause | undefined;
  let last = "nothing was tried";
  try {
    for (let wait = BACKOFF_MS.first; ; wait = Math.min(wait * BACKOFF_MS.factor, BACKOFF_MS.most)) {
      try {
        return await check(platform, options, listener);
      } catch (error) {
        if (!isBrokerError(error) || isFinal(error, options)) throw error;
        last = reasonOf(error);
      }
      if (deadline.passed()) throw new BrokerError("DEADLINE_EXCEEDED", `backend was not ready in time: ${last}`);
      pause ??= createHintedPause(platform.files, expected.endpoint.path);
      await pause.sleep(platform.clock, Math.min(wait, deadline.remainingMs()), signal);
    }
  } finally {
    pause?.close();
  }
}

async function check(platform: ReadinessPorts, options: ReadinessOptions, listener: OwnListener): Promise<void> {
  const { expected, exec, deadline } = options;
  switch (exec.ready) {
    case "probe":
      // A listener of ours is connectable before its process reads anything, so one challenge waits for the answer;
      // a backend that binds itself gets the frozen time per try.
      await verifyBackend(platform, {
        expected,
        deadline: exec.bind === "broker" ? deadline : deadline.within(PROBE_TIMEOUT_MS),
        signal: options.signal,
        ...LAUNCHED,
      });
      return;
    case "listen":
      await verifyProcess(platform, expected, LAUNCHED);
      return;
    case "connect":
      listener.check();
      await verifyProcess(platform, expected, LAUNCHED);
      return;
  }
}

/** Whoever answers like this speaks another protocol, and will not learn ours by being asked again. */
const WRONG_ANSWERS = [
  "FRAMING_VERSION_UNSUPPORTED",
  "FRAME_TOO_LARGE",
  "FRAME_UNEXPECTED",
  "MESSAGE_MALFORMED",
  "IDENTITY_MALFORMED",
] as const satisfies readonly BrokerErrorCode[];

function isFinal(error: BrokerError, options: ReadinessOptions): boolean {
  if (hasCode(error, "ABORTED", ...WRONG_ANSWERS)) return true;
  if (!hasCode(error, "IDENTITY_MISMATCH")) return false;
  // Until exec is through, the kernel shows the shell or `env` that leads to the binary; who answers or listens is through.
  return options.exec.ready !== "listen" || !EXEC_PENDING.has(error.details.check);
}

const EXEC_PENDING: ReadonlySet<string | undefined> = new Set(["exe_path", "interpreter", "argv"]);
