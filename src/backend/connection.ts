/**
 * One client of the ready-made server. Reads messages, runs handlers concurrently, writes answers as they come.
 *
 * States:
 *   serving       messages are read while fewer than the limit are in flight; an answer counts until it has left
 *   finishing     the client ended its side, or the backend stops: nothing is read, what is in flight is still answered
 *   handing-over  the next bytes are the legacy wire's: nothing is in flight, the state is waited for
 *   handed-over   the socket belongs to the legacy wire; only `destroy` touches it
 *   closed        for good: the wire is destroyed or about to be
 *
 * No timers run here: a client may keep its connection for as long as it likes, and costs what it has in flight.
 */
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { BackendIdentity } from "../model/identity.ts";
import type { Frame } from "../wire/messages.ts";
import { answerProbeAs } from "./answer-probe.ts";
import { answerRequest, checkRequest } from "./answer-request.ts";
import type { ClientWire } from "./client-wire.ts";
import { createRequestSignals } from "./request-signals.ts";
import type { BackendHandler, LegacyWire } from "./serve-options.ts";
import { createWireReader, type StreamVerdict, type WireReader } from "./wire-reader.ts";
import type { WorkLedger } from "./work-ledger.ts";

/** What all connections of one backend share. */
export interface ConnectionRules<S> {
  readonly handlers: ReadonlyMap<number, BackendHandler<S>>;
  readonly legacy: LegacyWire<S> | undefined;
  readonly identity: () => Promise<BackendIdentity>;
  /** Rejection ends the backend, and with it every connection; it is not reported here. */
  readonly state: Promise<S>;
  /** The state once it is there, for requests that then need not wait for it. */
  readonly loaded: () => { readonly state: S } | undefined;
  readonly maxInFlight: number;
  /** Every request is entered, from when it was read until its answer has left. Connections are entered by the caller. */
  readonly ledger: WorkLedger;
  onProbe(): void;
  report(error: unknown): void;
}

export interface BackendConnection {
  /** Reads nothing more and ends the connection once nothing is in flight. */
  finish(): void;
  /** Ends it now, also in the hands of the legacy wire. */
  destroy(): void;
}

/** Consumes the wire, which nobody listens to yet. `onClose` runs once, when it is closed. */
export function serveConnection<S>(
  wire: ClientWire,
  rules: ConnectionRules<S>,
  onClose: () => void,
): BackendConnection {
  return new ServedConnection(wire, rules, onClose);
}

/** Where the answer to a message goes. */
interface Outlet {
  send(answer: Buffer | undefined): void;
  giveUp(error: unknown): void;
}

const notLegacy = (): "not-legacy" => "not-legacy";

class ServedConnection<S> implements BackendConnection {
  private state: "serving" | "finishing" | "handing-over" | "handed-over" | "closed" = "serving";
  private inFlight = 0;
  /** Messages are being taken right now, further up the stack. */
  private taking = false;
  private readonly reader: WireReader;
  private readonly signals = createRequestSignals();

  constructor(
    private readonly wire: ClientWire,
    private readonly rules: ConnectionRules<S>,
    onClose: () => void,
  ) {
    this.reader = createWireReader({
      served: rules.handlers,
      detect: rules.legacy && (rules.legacy.detect ?? notLegacy),
    });
    wire.listen({
      onData: (chunk) => {
        this.reader.push(chunk);
        this.readOn();
      },
      onEnd: () => this.receiveEnd(),
      onClose: () => {
        this.close();
        onClose();
      },
    });
  }

  finish(): void {
    switch (this.state) {
      case "serving":
        this.state = "finishing";
        this.wire.pause();
        this.endWhenIdle();
        break;
      case "handing-over":
        this.destroy();
        break;
      case "handed-over":
        this.signals.abandon("the backend stops");
        break;
      case "finishing":
      case "closed":
        break;
    }
  }

  destroy(): void {
    this.close();
    this.wire.destroy();
  }

  private close(): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.signals.abandon("the client's connection is closed");
  }

  private fail(error: unknown): void {
    if (this.state === "closed") return;
    this.rules.report(error);
    this.destroy();
  }

  private readOn(): void {
    // An answer that leaves at once comes back here.
    if (this.taking) return;
    this.taking = true;
    try {
      this.takeMessages();
    } finally {
      this.taking = false;
    }
  }

  /** Takes messages until there is none, or no room for one. */
  private takeMessages(): void {
    while (this.state === "serving") {
      if (this.inFlight >= this.rules.maxInFlight) {
        this.wire.pause();
        return;
      }
      let verdict: StreamVerdict;
      try {
        verdict = this.reader.next();
      } catch (error) {
        this.fail(error);
        return;
      }
      switch (verdict.type) {
        case "need-more":
          this.wire.resume();
          return;
        case "legacy":
          this.handOver();
          return;
        case "probe":
          this.rules.onProbe();
          this.run(() => this.answerToProbe(verdict.frame), this.probes);
          break;
        case "payload":
          this.rules.ledger.beginRequest();
          this.run(() => this.answerToRequest(verdict.frame), this.requests);
          break;
      }
    }
  }

  private async answerToProbe(request: Frame): Promise<Buffer> {
    return answerProbeAs(await this.rules.identity(), request);
  }

  private answerToRequest(request: Frame): MaybePromise<Buffer | undefined> {
    checkRequest(request);
    const loaded = this.rules.loaded();
    if (loaded !== undefined) return this.handle(request, loaded.state);
    return this.rules.state.then((state) => this.handle(request, state));
  }

  private handle(request: Frame, state: S): MaybePromise<Buffer | undefined> {
    const handle = this.rules.handlers.get(request.payloadProtocol);
    if (this.state === "closed" || handle === undefined) return undefined;
    return answerRequest(request, handle, state, this.signals);
  }

  private run(answer: () => MaybePromise<Buffer | undefined>, outlet: Outlet): void {
    this.inFlight++;
    try {
      const bytes = answer();
      if (bytes instanceof Promise) bytes.then(outlet.send, outlet.giveUp);
      else outlet.send(bytes);
    } catch (error) {
      outlet.giveUp(error);
    }
  }

  /** An answer has left, or never will. */
  private readonly leave = (error?: Error | null): void => {
    this.inFlight--;
    if (error) this.destroy();
    else if (this.state === "finishing") this.endWhenIdle();
    else this.readOn();
  };

  /** The same for a request. One whose client is gone counts on while its handler runs: that is work, too. */
  private readonly leaveRequest = (error?: Error | null): void => {
    this.rules.ledger.endRequest();
    this.leave(error);
  };

  private readonly probes = this.outlet(this.leave, () => {});
  private readonly requests = this.outlet(this.leaveRequest, () => this.rules.ledger.endRequest());

  /** `unsent`: there is no answer, or nobody to have it. */
  private outlet(leave: (error?: Error | null) => void, unsent: () => void): Outlet {
    return {
      send: (answer) => {
        if (answer !== undefined && this.state !== "closed") this.wire.write(answer, leave);
        else unsent();
      },
      giveUp: (error) => {
        unsent();
        // A handler that gives up because its client is gone has done what the signal is for.
        if (this.signals.explains(error)) this.destroy();
        else this.fail(error);
      },
    };
  }

  private endWhenIdle(): void {
    if (this.inFlight > 0) return;
    this.close();
    this.wire.end();
  }

  /** The client will send nothing more. It may still read, so what is in flight is answered; most clients are gone, so handlers are told. */
  private receiveEnd(): void {
    if (this.state !== "serving") return;
    try {
      this.reader.end();
    } catch (error) {
      this.fail(error);
      return;
    }
    this.state = "finishing";
    this.signals.abandon("the client ended its side of the connection");
    this.endWhenIdle();
  }

  private handOver(): void {
    const { legacy, state } = this.rules;
    this.wire.pause();
    // Answers must not get between the bytes of the other wire; the last one to leave comes back here.
    if (this.inFlight > 0 || legacy === undefined) return;
    this.state = "handing-over";
    const socket = this.wire.handOut();
    const head = this.reader.takeRest();
    state
      .then((loaded) => {
        if (this.state !== "handing-over") return;
        this.state = "handed-over";
        legacy.onSocket(socket, head, { state: loaded, signal: this.signals.open().signal() });
      })
      .catch((error: unknown) => this.fail(error));
  }
}
