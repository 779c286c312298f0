/**
 * The ways by which client connections come to this backend from a broker: the control channel it inherited, and a
 * handoff endpoint for brokers that dial (the reference does). Both end with the backend.
 */

import { Deadline } from "../base/clock.ts";
import { BrokerError, hasCode } from "../base/errors.ts";
import { createTokenMemory } from "../model/handoff-tokens.ts";
import type { Connection, Env, Listener, Platform } from "../platform/ports.ts";
import { CAPABILITY } from "../wire/capabilities.ts";
import { encodeAnnounce } from "../wire/control.ts";
import { type AcceptorOptions, acceptHandoffs, type HandoffAcceptor } from "./handoff-acceptor.ts";

export interface HandoffsOptions {
  readonly platform: Platform;
  readonly launchEnv: Env;
  /** Socket to listen on for brokers that dial. Default: none. */
  readonly endpoint: string | undefined;
  readonly deliver: AcceptorOptions["deliver"];
  /** A broken exchange; the way it came by is closed. */
  readonly report: (error: unknown) => void;
}

export interface Handoffs {
  /** Takes over nothing any more and closes every way. May be called again. */
  close(): void;
}

const ANNOUNCE_MS = 1_000;

/** @throws BrokerError ENDPOINT_INVALID (the inherited descriptor), and what binding `endpoint` throws */
export function openHandoffs(options: HandoffsOptions): Handoffs {
  const { platform } = options;
  const open = new Set<HandoffAcceptor>();
  let closed = false;
  const accepting: AcceptorOptions = {
    platform,
    tokens: createTokenMemory(),
    deliver: options.deliver,
    accepting: () => !closed,
  };
  const serve = (connection: Connection, more: Partial<AcceptorOptions>): void => {
    const acceptor = acceptHandoffs(connection, { ...accepting, ...more });
    open.add(acceptor);
    acceptor.ended
      .catch((error: unknown) => {
        if (!hasCode(error, "IO_FAILED")) options.report(error);
      })
      .finally(() => open.delete(acceptor));
  };

  const control = inheritedControl(platform, options.launchEnv);
  const listener = options.endpoint === undefined ? undefined : listen(platform, options.endpoint, serve);
  if (control !== undefined) {
    // Messages of later brokers that this version does not know mean nothing to it.
    serve(control, { onMessage: () => {} });
    void announce(control, options);
  }
  return {
    close() {
      closed = true;
      if (options.endpoint !== undefined && listener !== undefined) platform.files.remove(options.endpoint);
      listener?.close();
      for (const acceptor of open) acceptor.close();
    },
  };
}

async function announce(control: Connection, { platform, report }: HandoffsOptions): Promise<void> {
  try {
    const bytes = encodeAnnounce(CAPABILITY.handlePassing | CAPABILITY.handoffDirect);
    await control.writeAll(bytes, Deadline.after(platform.clock, ANNOUNCE_MS));
  } catch (error) {
    report(error);
  }
}

function inheritedControl(platform: Platform, env: Env): Connection | undefined {
  const text = env.RUNNING_PROCESS_BROKER_CONTROL_FD;
  if (text === undefined) return undefined;
  if (!/^\s*\d{1,9}\s*$/.test(text)) {
    throw new BrokerError(
      "ENDPOINT_INVALID",
      `RUNNING_PROCESS_BROKER_CONTROL_FD is ${JSON.stringify(text)}, expected a decimal number`,
    );
  }
  return platform.transport.adoptConnection(Number(text));
}

function listen(
  platform: Platform,
  endpoint: string,
  serve: (connection: Connection, more: Partial<AcceptorOptions>) => void,
): Listener {
  const listener = platform.transport.listen(endpoint);
  listener.accept({
    onConnection: (connection) => {
      // Whoever may offer connections may make this process serve them: only our own user.
      if (connection.peer.uid === platform.processes.selfUid) serve(connection, {});
      else connection.close();
    },
    onError: ({ rejected }) => rejected?.close(),
  });
  return listener;
}
