/** The socket file at a backend's endpoint: once it is deleted or replaced, no client can reach the backend, alive or not. */
import type { FileIdentity } from "../../model/file-identity.ts";
import type { ChangeCounter, Platform } from "../../platform/ports/index.ts";

export interface EndpointSocket {
  /** Is the file the one that was there at the beginning? Sees it without connecting, and cheaply: every Hello asks. */
  isSame(): boolean;
  close(): void;
}

export type SocketWatchPorts = Pick<Platform, "endpoints" | "files">;

export function watchEndpointSocket(platform: SocketWatchPorts, path: string): EndpointSocket {
  return new WatchedSocket(platform, path);
}

class WatchedSocket implements EndpointSocket {
  private readonly changes: ChangeCounter;
  private readonly socket: FileIdentity | undefined;
  /** What `changes` counted when the file was last found to be the same. */
  private seenAt = Number.NaN;

  constructor(
    private readonly platform: SocketWatchPorts,
    private readonly path: string,
  ) {
    this.changes = platform.files.changeCounter(platform.files.paths.dirname(path));
    this.socket = this.find();
  }

  isSame(): boolean {
    const changes = this.changes.value();
    if (changes === this.seenAt) return true;
    const same = this.isThere();
    if (same) this.seenAt = changes;
    return same;
  }

  close(): void {
    this.changes.close();
  }

  private find(): FileIdentity | undefined {
    try {
      return this.platform.endpoints.find(this.path);
    } catch {
      // Its directory cannot be looked into any more: nobody can connect either.
      return undefined;
    }
  }

  private isThere(): boolean {
    try {
      return this.platform.endpoints.isSame(this.path, this.socket);
    } catch {
      return false;
    }
  }
}
