/** The backends of a broker: the one that Hellos get for each key, and all that were launched or adopted and are not gone. */
import { runAll } from "../../base/disposal-stack.ts";
import { compareKeys, keyText } from "../../model/backend-key.ts";
import type { Connection } from "../../platform/ports/index.ts";
import type { Backend, LaunchedBackend, SuspendedBackend } from "../supervisor/backend.ts";

export class Roster {
  private readonly running = new Map<string, Backend>();
  /** Those that drain included. */
  private readonly owned = new Set<LaunchedBackend>();

  /** The backend that Hellos get for a key; `id` is the key's text. */
  current(id: string): Backend | undefined {
    return this.running.get(id);
  }

  /** From now on Hellos get this one. Returns the one before. */
  publish(id: string, backend: Backend): Backend | undefined {
    const old = this.running.get(id);
    this.running.set(id, backend);
    return old;
  }

  register(backend: Backend): void {
    this.publish(keyText(backend.key), backend);
  }

  dropIfCurrent(id: string, backend: Backend): void {
    if (this.running.get(id) === backend) this.running.delete(id);
  }

  /** Until nothing of it is left. */
  own(backend: LaunchedBackend): void {
    this.owned.add(backend);
    void backend.ended.then(() => this.owned.delete(backend));
  }

  /** Backends that have not ended, in whatever state. One that was registered and has ended is kept, and does not count. */
  get alive(): number {
    let serving = 0;
    for (const backend of this.running.values()) if (backend.state !== "absent") serving++;
    return Math.max(serving, this.owned.size);
  }

  /** Sorted by service, version, instance. */
  backends(): readonly Backend[] {
    return [...this.running.values()].sort((a, b) => compareKeys(a.key, b.key));
  }

  /** Oldest first. */
  launched(): readonly LaunchedBackend[] {
    return [...this.owned];
  }

  draining(): readonly LaunchedBackend[] {
    return this.launched().filter((backend) => backend.state === "draining");
  }

  attachControl(pid: number, endpoint: string, connection: Connection): boolean {
    for (const backend of this.owned)
      if (isKnown(backend) && backend.identity.endpoint.path === endpoint)
        return backend.attachControl(pid, connection);
    return false;
  }

  suspend(): Promise<readonly SuspendedBackend[]> {
    return Promise.all(
      this.launched()
        .filter(isKnown)
        .map((backend) => backend.suspend()),
    );
  }

  resume(): void {
    for (const backend of this.owned) backend.resume();
  }

  letGo(): void {
    runAll(this.launched().map((backend) => () => backend.letGo()));
  }
}

/** Does it have an identity yet, and still? */
function isKnown({ state }: LaunchedBackend): boolean {
  return state === "running" || state === "draining";
}
