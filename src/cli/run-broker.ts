/** One broker in the foreground: from start to the last log line. Shared by `rpb serve` and the compat binary. */
import { ERROR_TABLE } from "../base/errors.ts";
import { startBroker } from "../broker/broker.ts";
import type { Broker, BrokerOptions, CloseReason } from "../broker/options.ts";
import type { BrokerLog } from "./broker-log.ts";
import type { ProcessIo } from "./process-io.ts";

export interface RunBrokerOptions {
  readonly io: ProcessIo;
  readonly log: BrokerLog;
  readonly broker: Omit<BrokerOptions, "onEvent">;
  /** It accepts. */
  readonly onReady?: (endpoint: string) => void;
}

/** A supervisor that restarts on failure is to do so only where a new broker is missed. */
const EXIT: Readonly<Record<CloseReason, number>> = {
  requested: 0,
  signal: 0,
  "max-connections": 0,
  idle: 0,
  "lost-endpoint": ERROR_TABLE.IO_FAILED.exit,
};

/** As shells show a program that a signal ended. */
const SIGNAL_EXIT = { SIGTERM: 143, SIGINT: 130 } as const;

/**
 * Runs until the broker has ended and returns the exit code that goes with the reason. The first SIGTERM or SIGINT ends
 * it in an orderly way, the second one at once.
 *
 * @throws BrokerError what `startBroker` throws, BROKER_ALREADY_RUNNING above all
 */
export async function runBroker({ io, log, broker: options, onReady }: RunBrokerOptions): Promise<number> {
  let signals = 0;
  let broker: Broker | undefined;
  const subscription = io.onTermination((signal) => {
    signals++;
    if (signals > 1) {
      log({ type: "broker-killed", level: "warn", message: `second ${signal}, ending at once`, reason: "signal" });
      void io.exit(SIGNAL_EXIT[signal]);
    } else void broker?.stop({ reason: "signal" });
  });
  try {
    broker = await startBroker({ ...options, onEvent: log });
    // A signal that came while it started.
    if (signals > 0) void broker.stop({ reason: "signal" });
    else onReady?.(broker.endpoint);
    return EXIT[await broker.closed];
  } finally {
    subscription.dispose();
  }
}
