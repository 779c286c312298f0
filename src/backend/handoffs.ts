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
import { type AcceptorOptions, acceptHandoffs } from "./handoff-acceptor.ts";

export interface HandoffsOptions {
  readonly platform: Platform;
  readonly launchEnv: Env;
  /** Socket to listen on for brokers that dial. Default: none. */
  readonly endpoint: string | undefined;
  readonly deliver: (client: Connection) => void;
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
  const open = new Set<Connection>();
  let accepting = true;
  const acceptor: AcceptorOptions = {
    platform,
    tokens: createTokenMemory(),
    deliver: options.deliver,
    accepting: () => accepting,
  };
  const serve = (connection: Connection, more: Partial<AcceptorOptions>): void => {
    open.add(connection);
    acceptHandoffs(connection, { ...acceptor, ...more })
      .catch((error: unknown) => {
        if (accepting && !hasCode(error, "IO_FAILED")) options.report(error);
      })
      .finally(() => open.delete(connection));
  };

  const control = inheritedControl(platform, options.launchEnv);
  const listener = options.endpoint === undefined ? undefined : listen(platform, options.endpoint, serve);
  if (control !== undefined) {
    // Messages of later brokers that this version does not know mean nothing to it.
    serve(control, { onMessage: () => {} });
    control
      .writeAll(
        encodeAnnounce(CAPABILITY.handlePassing | CAPABILITY.handoffDirect),
        Deadline.after(platform.clock, ANNOUNCE_MS),
      )
      .catch(options.report);
  }
  return {
    close() {
      accepting = false;
      if (options.endpoint !== undefined && listener !== undefined) platform.files.remove(options.endpoint);
      listener?.close();
      for (const connection of open) connection.close();
    },
  };
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
