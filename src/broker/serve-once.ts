/** `--serve-once`: one connection, one Hello, and no service to give (spec: server §5.2). For probing clients by hand. */
import { Deadline } from "../base/clock.ts";
import { BrokerError } from "../base/errors.ts";
import { createRateLimiter } from "../model/rate-limit.ts";
import { refuse } from "../model/refusal.ts";
import { createServiceDefinition } from "../model/service-definition.ts";
import type { Connection, Listener, Platform } from "../platform/ports/index.ts";
import type { DefinitionStore } from "../store/definition-store.ts";
import { claimEndpoint } from "./endpoint/claim-endpoint.ts";
import type { ConnectionOutcome } from "./events/reports.ts";
import { createHelloRoute } from "./hello/hello-route.ts";
import { createByteQuota } from "./serving/byte-quota.ts";
import { type ServeOptions, serveConnection } from "./serving/conversation.ts";

/** From accept to the last byte of the Hello, and for the reply. */
const LIMIT_MS = 30_000;

/**
 * Resolves when the one connection has been answered or has failed to ask.
 *
 * @throws BrokerError as `claimEndpoint`; IO_FAILED when nothing can be accepted
 */
export async function serveOnce(platform: Platform, path: string): Promise<void> {
  const claim = await claimEndpoint(platform, { path, bareName: undefined });
  try {
    const connection = await accepted(claim.listener);
    const failure = await answer(platform, connection);
    if (failure !== undefined) throw failure;
  } finally {
    claim.release();
  }
}

function accepted(listener: Listener): Promise<Connection> {
  return new Promise((resolve, reject) => {
    listener.accept({
      onConnection(connection) {
        listener.pause();
        resolve(connection);
      },
      onError: ({ errno, rejected }) => {
        rejected?.close();
        reject(new BrokerError("IO_FAILED", `accept failed: ${errno}`, { details: { syscall: "accept", errno } }));
      },
    });
  });
}

async function answer(platform: Platform, connection: Connection): Promise<unknown> {
  let outcome: ConnectionOutcome | undefined;
  const limit = (): Deadline => Deadline.after(platform.clock, LIMIT_MS);
  const options: ServeOptions = {
    hello: createHelloRoute({
      clock: platform.clock,
      activation: NO_SERVICES,
      definitions: ANY_NAME,
      rateLimiter: createRateLimiter(0),
      instance: undefined,
    }),
    admin: () => {
      throw new BrokerError("FRAME_UNEXPECTED", "this endpoint answers one Hello only");
    },
    closedToHellos: () => undefined,
    // Any peer, as the frozen behaviour has it; the socket itself is open to its owner only.
    owner: connection.peer.identity,
    largeFrames: createByteQuota(0),
    requestDeadline: limit,
    replyDeadline: limit,
    now: () => platform.clock.monotonicMs(),
    onRequest: () => {},
    onEnd: () => {},
    onOutcome: (result) => {
      outcome = result;
    },
  };
  await serveConnection(connection, options, { alone: true });
  return outcome?.type === "dropped" ? outcome.error : undefined;
}

/** The handler knows no service: every Hello of the right shape gets this. */
const NO_SERVICES = {
  activate: async () => ({ refusal: refuse("SERVICE_UNKNOWN", "service is not registered") }),
} as const;

const ANY_NAME: Pick<DefinitionStore, "load"> = {
  load: (service) => createServiceDefinition({ serviceName: service, binaryPath: "/" }),
};
