/**
 * What a backend does when its broker asks something of it over the control channel: to let go of a path, or to quiesce.
 * Each request gets one outcome; a hook of the author's that fails or hangs costs its own request only.
 */
import { type Clock, Deadline } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import { type ControlMessage, type Outcome, OutcomeStatus, type Quiesce, QuiesceReason } from "../wire/messages.ts";
import type { ControlHooks, QuiesceRequest } from "./control-hooks.ts";
import type { WorkLedger } from "./work-ledger.ts";

export interface ControlResponderOptions {
  readonly clock: Clock;
  readonly hooks: ControlHooks;
  readonly ledger: WorkLedger;
  /** Takes no new work from this very call on; calls back when nothing is left to do, just before the channel is closed. */
  readonly drain: (onDrained: () => void) => void;
  readonly send: (outcome: Pick<Outcome, "id" | "status" | "detail">) => void;
  readonly report: (error: unknown) => void;
}

/** Takes a decoded message of the broker. Arms it does not know mean nothing to it. */
export type ControlResponder = (message: ControlMessage["message"]) => void;

interface Answer {
  readonly status: OutcomeStatus;
  readonly detail?: string;
}

export function createControlResponder(options: ControlResponderOptions): ControlResponder {
  /** Nothing: it will be answered later. */
  const answer = async (id: bigint, work: Promise<Answer | undefined>): Promise<void> => {
    let answered: Answer | undefined;
    try {
      answered = await work;
    } catch (error) {
      options.report(error);
      answered = { status: OutcomeStatus.FAILED, detail: reasonOf(error) };
    }
    if (answered === undefined) return;
    const { status, detail = "" } = answered;
    options.send({ id, status, detail: detail.slice(0, MAX_DETAIL_CHARS) });
  };
  return (message) => {
    switch (message.case) {
      case "releaseHandles":
        void answer(message.value.id, release(options, message.value.path, Number(message.value.timeoutMs)));
        return;
      case "quiesce":
        void answer(message.value.id, quiesce(options, message.value));
    }
  };
}

/** A reason, not a report. */
const MAX_DETAIL_CHARS = 1_000;

const REASONS: Readonly<Record<QuiesceReason, QuiesceRequest["reason"]>> = {
  [QuiesceReason.UNSPECIFIED]: "maintenance",
  [QuiesceReason.IDLE_TIMEOUT]: "idle-timeout",
  [QuiesceReason.BROKER_SHUTDOWN]: "broker-shutdown",
  [QuiesceReason.MAINTENANCE]: "maintenance",
};

async function release(options: ControlResponderOptions, path: string, timeoutMs: number): Promise<Answer> {
  const { hooks, clock } = options;
  if (hooks.onReleaseHandles === undefined) return { status: OutcomeStatus.UNSUPPORTED };
  const giveUp = new AbortController();
  const timer = Deadline.after(clock, timeoutMs).arm(() => giveUp.abort(), { weak: true });
  try {
    const released = await hooks.onReleaseHandles({
      path,
      covers: (other) => covers(path, other),
      signal: giveUp.signal,
    });
    return { status: released ? OutcomeStatus.DONE : OutcomeStatus.NOTHING_HELD };
  } finally {
    timer.cancel();
  }
}

function covers(path: string, other: string): boolean {
  return other === path || other.startsWith(path.endsWith("/") ? path : `${path}/`);
}

async function quiesce(options: ControlResponderOptions, request: Quiesce): Promise<Answer | undefined> {
  const { hooks, ledger } = options;
  const reason = REASONS[request.reason] ?? "maintenance";
  const busy = (): Answer | undefined => {
    // What came in since the broker decided counts; whatever the reason else is, work is finished, not refused.
    const work = reason === "idle-timeout" ? ledger.busyWith() : undefined;
    return work === undefined ? undefined : { status: OutcomeStatus.REFUSED, detail: work };
  };
  const before = busy();
  if (before !== undefined) return before;
  if ((await hooks.onQuiesce?.({ reason })) === false)
    return { status: OutcomeStatus.REFUSED, detail: "the backend's own code refused" };
  const after = busy();
  if (after !== undefined) return after;
  options.drain(() => options.send({ id: request.id, status: OutcomeStatus.DONE, detail: "" }));
  return undefined;
}
