/** Entry `running-process-broker/client`: what a tool needs to reach its backend. Light: see connect.ts. */
import { placeInputs, processEnv, systemClock } from "../platform/platform.ts";
import { type Client, createClient } from "./connect.ts";
import { loadPlatform } from "./load-runtime.ts";

const client: Client = createClient({
  clock: systemClock,
  env: processEnv,
  places: placeInputs,
  loadPlatform,
});

// For users.
/** @see Client.connect */
export const connect: Client["connect"] = client.connect;
/** @see Client.openSession */
export const openSession: Client["openSession"] = client.openSession;
export type { BrokerErrorCode, ErrorDetails } from "../base/errors.ts";
export { BrokerError, hasCode, isBrokerError } from "../base/errors.ts";
export type { BackendEndpoint, BackendIdentity } from "../model/identity.ts";
export type { Client } from "./connect.ts";
export type { BackendEvent, FrameClient, FrameClientOptions } from "./frame-client.ts";
export type {
  BrokerOptions,
  Connected,
  ConnectOptions,
  FallbackRoute,
  HandedOffRoute,
  NegotiatedFacts,
  NegotiatedRoute,
  Route,
  SkipRoute,
  StartCommand,
  Timings,
} from "./options.ts";
export type { FirstRequest, RequestOptions } from "./request-options.ts";
export type { Session, SessionOptions } from "./session.ts";
