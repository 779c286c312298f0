/**
 * The ways by which client connections come to this backend from a broker: its control channel, and a handoff endpoint
 * for brokers that dial (the reference does). Both end with the backend; over the channel the broker also asks things of
 * it, and hears what it works on.
 */
import { hasCode } from "../base/errors.ts";
import { createTokenMemory } from "../model/handoff-tokens.ts";
import { givenEndpoint } from "../model/places.ts";
import type { Connection, Env, Listener, Platform } from "../platform/ports/index.ts";
import { CAPABILITY } from "../wire/capabilities.ts";
import { CONTROL_FEATURE, decodeControlMessage, encodeAnnounce, isControlFrame } from "../wire/control.ts";
import type { Frame } from "../wire/messages.ts";
import type { ControlHooks } from "./control-hooks.ts";
import { openControlLink } from "./control-link.ts";
import { createControlResponder } from "./control-responder.ts";
import { type AcceptorOptions, acceptHandoffs, type HandoffAcceptor } from "./handoff-acceptor.ts";
import type { WorkLedger } from "./work-ledger.ts";

export interface HandoffsOptions {
  readonly platform: Platform;
  readonly launchEnv: Env;
  /** Socket to listen on for brokers that dial. Default: none. */
  readonly endpoint: string | undefined;
  readonly deliver: AcceptorOptions["deliver"];
  readonly ledger: WorkLedger;
  readonly hooks: ControlHooks;
  /** @see ControlResponderOptions.drain */
  readonly drain: (onDrained: () => void) => void;
  /** A broken exchange; the way it came by is closed. */
  readonly report: (error: unknown) => void;
}

export interface Handoffs {
  /** Somebody probes this backend. */
  probed(): void;
  /** Takes over nothing any more; the control channel stays for what the broker asks. May be called again. */
  stopAccepting(): void;
  /** Closes every way. May be called again. */
  close(): Promise<void>;
}

/** @throws BrokerError ENDPOINT_INVALID (the inherited descriptor), and what binding `endpoint` throws */
export function openHandoffs(options: HandoffsOptions): Handoffs {
  const { platform } = options;
  const open = new Set<HandoffAcceptor>();
  let accepting = true;
  const rules: AcceptorOptions = {
    platform,
    tokens: createTokenMemory(),
    deliver: options.deliver,
    accepting: () => accepting,
  };
  const serve = (connection: Connection): void => {
    const acceptor = acceptHandoffs(connection, rules);
    open.add(acceptor);
    acceptor.ended
      .catch((error: unknown) => {
        if (!hasCode(error, "IO_FAILED")) options.report(error);
      })
      .finally(() => open.delete(acceptor));
  };

  const { ledger, hooks } = options;
  const respond = createControlResponder({
    clock: platform.clock,
    hooks,
    ledger,
    drain: options.drain,
    send: (value) => link?.send({ case: "outcome", value }),
    report: options.report,
  });
  const takeMessage = (frame: Frame, attached: () => void): void => {
    // Messages of later brokers that this version does not know mean nothing to it.
    if (!isControlFrame(frame)) return;
    const { message } = decodeControlMessage(frame);
    if (message.case === "attached") attached();
    else respond(message);
  };
  const features = CONTROL_FEATURE.leases | CONTROL_FEATURE.quiesce;
  const link = openControlLink({
    platform,
    launchEnv: options.launchEnv,
    greeting: () =>
      encodeAnnounce(
        CAPABILITY.handlePassing | CAPABILITY.handoffReply,
        hooks.onReleaseHandles === undefined ? features : features | CONTROL_FEATURE.releaseHandles,
      ),
    serve: (channel, attached) =>
      acceptHandoffs(channel, { ...rules, onMessage: (frame) => takeMessage(frame, attached) }),
    onChange(send) {
      ledger.reportTo(send && ((value) => send({ case: "leases", value })));
      send?.({ case: "leases", value: ledger.counts() });
    },
    report: options.report,
  });
  let listener: Listener | undefined;
  try {
    if (options.endpoint !== undefined) listener = listen(platform, options.endpoint, serve);
  } catch (error) {
    void link?.close();
    throw error;
  }
  return {
    probed: () => link?.probed(),
    stopAccepting() {
      accepting = false;
      if (options.endpoint !== undefined && listener !== undefined) platform.files.remove(options.endpoint);
      listener?.close();
      for (const acceptor of open) acceptor.close();
    },
    close() {
      this.stopAccepting();
      return link?.close() ?? Promise.resolve();
    },
  };
}

function listen(platform: Platform, endpoint: string, serve: (connection: Connection) => void): Listener {
  const listener = platform.transport.listen(givenEndpoint(platform.host.os, endpoint, "option handoffEndpoint"));
  listener.accept({
    onConnection: (connection) => {
      // Whoever may offer connections may make this process serve them: only our own user.
      if (platform.user.owns(connection.peer)) serve(connection);
      else connection.close();
    },
    onError: ({ rejected }) => rejected?.close(),
  });
  return listener;
}
