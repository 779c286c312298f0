/** The socket file at a backend's endpoint: once it is deleted or replaced, no client can reach the backend, alive or not. */
import { posix } from "node:path";
import { type FileIdentity, sameFile } from "../../model/file-identity.ts";
import type { ChangeCounter, Files } from "../../platform/ports/index.ts";

export interface EndpointSocket {
  /** Is the file the one that was there at the beginning? Sees it without connecting, and cheaply: every Hello asks. */
  isSame(): boolean;
  close(): void;
}

export function watchEndpointSocket(files: Files, path: string): EndpointSocket {
  return new WatchedSocket(files, path);
}

class WatchedSocket implements EndpointSocket {
  private readonly changes: ChangeCounter;
  private readonly socket: FileIdentity | undefined;
  /** What `changes` counted when the file was last found to be the same. */
  private seenAt = Number.NaN;

  constructor(
    private readonly files: Files,
    private readonly path: string,
  ) {
    this.changes = files.changeCounter(posix.dirname(path));
    this.socket = this.facts();
  }

  isSame(): boolean {
    const changes = this.changes.value();
    if (changes === this.seenAt) return true;
    const same = sameFile(this.facts(), this.socket);
    if (same) this.seenAt = changes;
    return same;
  }

  close(): void {
    this.changes.close();
  }

  private facts(): FileIdentity | undefined {
    try {
      return this.files.facts(this.path);
    } catch {
      // Its directory cannot be looked into any more: nobody can connect either.
      return undefined;
    }
  }
}
