/** What a Hello's service and version stand for: the definition's word on them, without looking for a backend. */
import { hasCode, isBrokerError, reasonOf } from "../../base/errors.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import { type Instance, instanceId } from "../../model/names.ts";
import { checkVersionPolicy } from "../../model/negotiate.ts";
import { type Refusal, refuse } from "../../model/refusal.ts";
import { instanceOf, type ServiceDefinition } from "../../model/service-definition.ts";
import type { DefinitionStore } from "../../store/definition-store.ts";

export interface Target {
  readonly key: BackendKey;
  readonly definition: ServiceDefinition;
}

export interface Refused {
  readonly refusal: Refusal;
}

export type FindTarget = (service: string, version: string) => Target | Refused;

export interface TargetFinderOptions {
  readonly definitions: Pick<DefinitionStore, "load">;
  /** Serve only this instance; undefined: all. */
  readonly instance: Instance | undefined;
}

/** Services whose targets are kept, and versions of each; beyond it they are forgotten, as clients make up names. */
const MOST_SERVICES = 1024;
const MOST_VERSIONS = 64;

interface KnownService {
  readonly definition: ServiceDefinition;
  readonly targets: Map<string, Target>;
}

/** Definitions are cached: as long as one is the same object, what it says of a version is the same. */
export function createTargetFinder(options: TargetFinderOptions): FindTarget {
  const services = new Map<string, KnownService>();
  const targetsOf = (service: string, definition: ServiceDefinition): Map<string, Target> => {
    const known = services.get(service);
    if (known?.definition === definition) return known.targets;
    if (services.size >= MOST_SERVICES) services.clear();
    const targets = new Map<string, Target>();
    services.set(service, { definition, targets });
    return targets;
  };
  return (service, version) => {
    const definition = loadDefinition(options.definitions, service);
    if ("refusal" in definition) return definition;
    const targets = targetsOf(service, definition);
    const known = targets.get(version);
    if (known !== undefined) return known;
    const target = judge(options, definition, version);
    if ("refusal" in target) return target;
    if (targets.size >= MOST_VERSIONS) targets.clear();
    targets.set(version, target);
    return target;
  };
}

function judge({ instance }: TargetFinderOptions, definition: ServiceDefinition, version: string): Target | Refused {
  const blocked = checkVersionPolicy(definition, version);
  if (blocked !== undefined) return { refusal: blocked };
  const service = definition.serviceName;
  const owner = instanceId(instanceOf(definition));
  if (instance !== undefined && owner !== instanceId(instance)) {
    return {
      refusal: refuse(
        "SERVICE_UNKNOWN",
        `service ${JSON.stringify(service)} belongs to broker instance "${owner}", this one is "${instanceId(instance)}"`,
      ),
    };
  }
  return { key: { instanceId: owner, service, version }, definition };
}

function loadDefinition(definitions: TargetFinderOptions["definitions"], service: string): ServiceDefinition | Refused {
  try {
    return definitions.load(service);
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    if (hasCode(error, "DEFINITION_NOT_FOUND"))
      return {
        refusal: refuse("SERVICE_UNKNOWN", "service definition was not found", {
          details: { path: error.details.path ?? "" },
        }),
      };
    return { refusal: refuse("SERVICE_UNKNOWN", `service definition could not be loaded: ${reasonOf(error)}`) };
  }
}
