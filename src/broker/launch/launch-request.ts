/** What is to be launched, and for whom. */
import type { BackendKey } from "../../model/backend-key.ts";
import type { ServiceDefinition } from "../../model/service-definition.ts";
import type { Asker } from "../events/reports.ts";

export interface LaunchRequest {
  readonly key: BackendKey;
  readonly definition: ServiceDefinition;
  readonly traceparent: string;
  readonly tracestate: string;
  /** Who began it. For events only; absent is 0. */
  readonly askedBy?: Asker;
}
