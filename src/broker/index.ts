/** Entry `running-process-broker/broker`: embedding a broker in a process of one's own. */

// For users.
export { BrokerError, type BrokerErrorCode, hasCode, isBrokerError } from "../base/errors.ts";
export { type Instance, instanceId, parseInstanceId } from "../model/names.ts";
// For other libraries, not covered by semver.
export { loadPlatform } from "../platform/platform.ts";
export type { Platform } from "../platform/ports/index.ts";
export type { RegisteredBackend } from "./activation/registered-backend.ts";
export { startBroker } from "./broker.ts";
export type { BrokerEvent, CloseReason } from "./events/broker-event.ts";
export type { Broker, BrokerOptions, StopOptions } from "./options.ts";
