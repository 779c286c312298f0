/** Entry `running-process-broker`: errors, version, and the registration of services. */

import { optionalText, optionalTextMap, requireObject, requireText } from "./base/check-option.ts";
import { givenPath } from "./base/given-path.ts";
import { coded, codedNow } from "./base/system-error.ts";
import { defineService, type ServiceDraft } from "./model/define-service.ts";
import { definitionDirectory } from "./model/places.ts";
import type { ServiceDefinition } from "./model/service-definition.ts";
import { loadPlatform, placeInputs, processEnv } from "./platform/platform.ts";
import type { Env } from "./platform/ports/index.ts";
import { createDefinitionStore, type DefinitionEntry } from "./store/definition-store.ts";

/** The service definitions of one user: what `rpb service` works on. */
export interface Services {
  /** Directory of the `.servicedef` files. */
  readonly directory: string;
  /**
   * Creates or replaces the definition of `draft.name` as a whole and returns its file. A running broker serves it from
   * the next Hello on.
   *
   * @throws BrokerError OPTION_INVALID, NAME_INVALID, VERSION_INVALID, DEFINITION_INVALID, DIRECTORY_INSECURE, IO_FAILED
   */
  add(draft: ServiceDraft): string;
  /** @throws BrokerError DEFINITION_NOT_FOUND, DEFINITION_MALFORMED, DEFINITION_INVALID, DIRECTORY_INSECURE, … */
  get(service: string): ServiceDefinition;
  /** All of them, each with its definition or with why it cannot be used. */
  list(): readonly DefinitionEntry[];
  /** False when there was none. What runs goes on running. */
  remove(service: string): boolean;
}

export interface OpenServicesOptions {
  /** Absolute. Default: RUNNING_PROCESS_SERVICE_DEF_DIR, else the user's configuration directory. */
  readonly directory?: string;
  /** Environment in which the default directory is looked up. Default: this process's. */
  readonly env?: Env;
}

/** @throws BrokerError OPTION_INVALID, PLATFORM_UNSUPPORTED, HOME_UNKNOWN, IO_FAILED */
export async function openServices(options: OpenServicesOptions = {}): Promise<Services> {
  return coded(async () => {
    requireObject("options", options);
    optionalText("directory", options.directory);
    if (options.directory !== undefined) givenPath(options.directory, "directory");
    optionalTextMap("env", options.env);
    const directory = options.directory ?? definitionDirectory(placeInputs(options.env ?? processEnv())).path;
    const store = createDefinitionStore((await loadPlatform()).files, directory);
    return {
      directory,
      add: (draft) => codedNow(() => store.save(defineService(draft))),
      get: (service) => codedNow(() => store.load(named(service))),
      list: () => codedNow(() => store.list()),
      remove: (service) => codedNow(() => store.remove(named(service))),
    };
  });
}

function named(service: string): string {
  requireText("service", service);
  return service;
}

// For users.
export {
  BrokerError,
  type BrokerErrorCode,
  ERROR_TABLE,
  type ErrorDetails,
  hasCode,
  isBrokerError,
} from "./base/errors.ts";
export { VERSION } from "./base/version.ts";
export { defineService, type ExecDraft, type ServiceDraft } from "./model/define-service.ts";
export type { ServiceDefinition } from "./model/service-definition.ts";
