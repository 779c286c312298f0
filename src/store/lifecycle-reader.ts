/** Lifecycle events out of the file that brokers write them to, at rest or while they come in. */
import { decodeLifecycleEvent, type LifecycleEvent } from "../model/lifecycle-event.ts";
import type { Files } from "../platform/ports/index.ts";
import { LIFECYCLE_FILE, LIFECYCLE_MOST_BYTES } from "./lifecycle-log.ts";
import { followRenamed } from "./log-follower.ts";

export interface LifecycleReader {
  readonly path: string;
  /** What came since the last call; at the first call all there is, in order of time. @throws BrokerError FILE_INSECURE, IO_FAILED */
  read(): LifecycleEvent[];
  close(): void;
}

/** Needs no broker; a directory or file that is not there holds no events. */
export function openLifecycleReader(files: Files, directory: string): LifecycleReader {
  const path = files.paths.join(directory, LIFECYCLE_FILE);
  const follower = followRenamed(files, path, LIFECYCLE_MOST_BYTES);
  const decoder = new TextDecoder();
  let torn = "";
  return {
    path,
    read() {
      const lines = (torn + decoder.decode(follower.read(), { stream: true })).split("\n");
      torn = lines.pop() ?? "";
      // Several brokers write, and events told as one are written later than they happened.
      return lines
        .map(decodeLifecycleEvent)
        .filter((event) => event !== undefined)
        .sort((a, b) => a.tsMs - b.tsMs);
    },
    close: () => follower.close(),
  };
}

/** All events on record, in order of time. @throws BrokerError FILE_INSECURE, IO_FAILED */
export function readLifecycleEvents(files: Files, directory: string): LifecycleEvent[] {
  const reader = openLifecycleReader(files, directory);
  try {
    return reader.read();
  } finally {
    reader.close();
  }
}
