/** What every verb gets: the process, the operating system on demand, and one way to run and to fail. */
import type { PlaceInputs } from "../../model/places.ts";
import { loadPlatform, placeInputs } from "../../platform/platform.ts";
import type { Platform } from "../../platform/ports/index.ts";
import { reportFailure } from "./exit.ts";
import type { ProcessIo } from "./process-io.ts";

export interface CliContext {
  readonly io: ProcessIo;
  readonly places: PlaceInputs;
  /** Loaded at the first call: help and usage errors need none. @throws BrokerError PLATFORM_UNSUPPORTED */
  platform(): Promise<Platform>;
  /** Runs a verb's work. What it returns becomes the exit code; what it throws is reported and mapped to one. */
  run(work: () => Promise<number>, options?: { json?: boolean }): Promise<void>;
  /** The result of the verb that ran; 0 when none did. */
  readonly exitCode: number;
}

export function createContext(io: ProcessIo): CliContext {
  return new VerbContext(io);
}

class VerbContext implements CliContext {
  exitCode = 0;
  readonly places: PlaceInputs;
  private loaded: Promise<Platform> | undefined;

  constructor(readonly io: ProcessIo) {
    this.places = placeInputs(io.env);
  }

  platform(): Promise<Platform> {
    this.loaded ??= loadPlatform();
    return this.loaded;
  }

  async run(work: () => Promise<number>, options: { json?: boolean } = {}): Promise<void> {
    try {
      this.exitCode = await work();
    } catch (error) {
      this.exitCode = reportFailure(this.io, error, options);
    }
  }
}
