/** Which broker to ask (design: nothing to start, nothing to clean): the caller's, the environment's, the definition's. */
import { brokerName, type Instance } from "../model/names.ts";
import { definitionDirectory, endpointPath, givenEndpoint, type PlaceInputs } from "../model/places.ts";
import { instanceOf } from "../model/service-definition.ts";
import type { Platform } from "../platform/ports/index.ts";
import { createDefinitionStore } from "../store/definition-store.ts";
import type { ConnectOptions } from "./options.ts";

export interface BrokerChoice {
  readonly endpoint: string;
  /** Undefined when the endpoint was given: such a broker serves every instance. */
  readonly instance: Instance | undefined;
}

/**
 * Reads the definition only when neither option nor environment names an endpoint; an empty variable counts as unset.
 *
 * @throws BrokerError PATH_TOO_LONG, ENDPOINT_INVALID, and what `DefinitionStore.load` throws, DEFINITION_NOT_FOUND above all
 */
export function chooseBroker(
  platform: Pick<Platform, "files" | "host">,
  places: PlaceInputs,
  options: ConnectOptions,
): BrokerChoice {
  const option = options.broker?.endpoint;
  const given = option ?? (places.env.RUNNING_PROCESS_BROKER_V1_SOCKET || undefined);
  if (given !== undefined) {
    const source = option === undefined ? "RUNNING_PROCESS_BROKER_V1_SOCKET" : "option broker.endpoint";
    return { endpoint: givenEndpoint(places.os, given, source), instance: undefined };
  }
  const directory = options.definitionDirectory ?? definitionDirectory(places).path;
  const instance = instanceOf(createDefinitionStore(platform.files, directory).load(options.service));
  return { endpoint: endpointPath(places, brokerName(platform.host.userHash(), instance)), instance };
}
