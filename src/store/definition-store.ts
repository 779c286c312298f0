/**
 * The directory of `.servicedef` files. Every load looks at the file again, and at the directory's privacy, because a
 * definition says what gets run; an unchanged inode, modification time and size spare only the decoding. While the
 * system says that nothing has happened in the directory, the last look holds.
 */
import { BrokerError, hasCode, isBrokerError } from "../base/errors.ts";
import { type FileStamp, sameStamp } from "../model/file-identity.ts";
import { checkName, nameFault } from "../model/names.ts";
import {
  DEFINITION_SUFFIX,
  decodeServiceDefinition,
  encodeServiceDefinition,
  type ServiceDefinition,
} from "../model/service-definition.ts";
import type { ChangeCounter, Files } from "../platform/ports/index.ts";
import { MAX_DEFINITION_BYTES } from "../wire/limits.ts";

export interface DefinitionStore {
  readonly directory: string;
  pathOf(service: string): string;
  /**
   * Order of checks: directory, name, file, content (spec: names §6).
   *
   * @throws BrokerError DIRECTORY_INSECURE, NAME_INVALID, DEFINITION_NOT_FOUND (also without a directory),
   * DEFINITION_MALFORMED, DEFINITION_INVALID, VERSION_INVALID, FILE_INSECURE, IO_FAILED
   */
  load(service: string): ServiceDefinition;
  /** Every definition file by name, each with what it holds or why it cannot be used. @throws BrokerError DIRECTORY_INSECURE, IO_FAILED */
  list(): readonly DefinitionEntry[];
  /** Creates or replaces as a whole; creates the directory. Returns the path. @throws BrokerError DIRECTORY_INSECURE, IO_FAILED */
  save(definition: ServiceDefinition): string;
  /** False when there was none. @throws BrokerError NAME_INVALID, DIRECTORY_INSECURE, IO_FAILED */
  remove(service: string): boolean;
  /** Ends a watch. What comes later works without one. */
  close(): void;
}

export type DefinitionEntry =
  | { readonly service: string; readonly path: string; readonly definition: ServiceDefinition }
  | { readonly service: string; readonly path: string; readonly error: BrokerError };

export interface DefinitionStoreOptions {
  /** Has the system tell whether a file must be looked at again, until `close`. Default: false, each load looks. */
  readonly watch?: boolean;
  /** A file was decoded that was not known or has changed; `before` is what was known of it. Must not throw. */
  readonly onDecoded?: (definition: ServiceDefinition, before: ServiceDefinition | undefined) => void;
}

export function createDefinitionStore(
  files: Files,
  directory: string,
  options: DefinitionStoreOptions = {},
): DefinitionStore {
  return new FileDefinitionStore(files, directory, options);
}

/** Definitions kept decoded; beyond it the cache starts over, so that distinct names cannot grow it without bound. */
const CACHE_LIMIT = 1024;

interface Known {
  readonly path: string;
  readonly stamp: FileStamp;
  readonly definition: ServiceDefinition;
  /** What `changes` counted when it was last looked at. */
  seenAt: number;
}

class FileDefinitionStore implements DefinitionStore {
  private readonly cache = new Map<string, Known>();
  private changes: ChangeCounter | undefined;

  constructor(
    private readonly files: Files,
    readonly directory: string,
    private readonly options: DefinitionStoreOptions,
  ) {
    if (options.watch) this.changes = files.changeCounter(directory);
  }

  pathOf(service: string): string {
    return this.files.paths.join(this.directory, service + DEFINITION_SUFFIX);
  }

  load(service: string): ServiceDefinition {
    const changes = this.changes?.value() ?? Number.NaN;
    const cached = this.cache.get(service);
    if (cached?.seenAt === changes) return cached.definition;
    const present = this.files.checkPrivateDirectory(this.directory);
    // Nothing gets into the cache under a name that is none.
    if (cached === undefined) checkName("service name", service);
    const path = cached?.path ?? this.pathOf(service);
    if (!present) throw notFound(service, path);
    const facts = this.files.facts(path);
    if (facts !== undefined && cached !== undefined && sameStamp(facts, cached.stamp)) {
      cached.seenAt = changes;
      return cached.definition;
    }
    this.cache.delete(service);
    const file = this.readFile(path);
    if (file === undefined) throw notFound(service, path);
    const definition = decode(file.bytes, service, path);
    if (this.cache.size >= CACHE_LIMIT) this.cache.clear();
    // Not known yet to be this directory's: a link leads to where nothing is watched, and never has its target's stamp.
    this.cache.set(service, { path, stamp: file.stamp, definition, seenAt: Number.NaN });
    this.options.onDecoded?.(definition, cached?.definition);
    return definition;
  }

  list(): readonly DefinitionEntry[] {
    if (!this.files.checkPrivateDirectory(this.directory)) return [];
    return this.files
      .list(this.directory)
      .filter((name) => name.endsWith(DEFINITION_SUFFIX))
      .map((name) => this.entry(name.slice(0, -DEFINITION_SUFFIX.length)));
  }

  save(definition: ServiceDefinition): string {
    this.files.ensurePrivateDirectory(this.directory);
    this.files.sweepTemporaries(this.directory);
    const path = this.pathOf(definition.serviceName);
    this.files.writeAtomic(path, encodeServiceDefinition(definition));
    return path;
  }

  remove(service: string): boolean {
    checkName("service name", service);
    return this.files.checkPrivateDirectory(this.directory) && this.files.remove(this.pathOf(service));
  }

  close(): void {
    this.changes?.close();
    this.changes = undefined;
  }

  private entry(service: string): DefinitionEntry {
    const path = this.pathOf(service);
    try {
      return { service, path, definition: this.load(service) };
    } catch (error) {
      if (isBrokerError(error)) return { service, path, error };
      throw error;
    }
  }

  private readFile(path: string): { bytes: Buffer; stamp: FileStamp } | undefined {
    try {
      return this.files.read(path, MAX_DEFINITION_BYTES);
    } catch (error) {
      if (hasCode(error, "IO_FAILED") && error.details.errno === "EFBIG") {
        throw new BrokerError(
          "DEFINITION_MALFORMED",
          `service-definition is larger than ${MAX_DEFINITION_BYTES} bytes: ${path}`,
          { details: { path }, cause: error },
        );
      }
      throw error;
    }
  }
}

function decode(bytes: Buffer, service: string, path: string): ServiceDefinition {
  try {
    return decodeServiceDefinition(bytes, service);
  } catch (error) {
    if (!hasCode(error, "MESSAGE_MALFORMED")) throw error;
    throw new BrokerError("DEFINITION_MALFORMED", `service-definition protobuf decode failed: ${error.reason}`, {
      details: { path },
      cause: error,
    });
  }
}

function notFound(service: string, path: string): BrokerError {
  const shown = nameFault(service) === undefined ? service : "?";
  return new BrokerError(
    "DEFINITION_NOT_FOUND",
    `service definition was not found: ${path} (add one with: rpb service add ${shown} …)`,
    { details: { path } },
  );
}
