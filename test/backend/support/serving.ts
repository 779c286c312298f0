/** A backend in the test's own process, with real sockets. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { serveBackend } from "../../../src/backend/serve-backend.ts";
import type {
  BackendHandler,
  RunningBackend,
  ServeEnvironment,
  ServeOptions,
} from "../../../src/backend/serve-options.ts";
import { loadPlatform } from "../../../src/platform/platform.ts";
import { connectRaw, type RawClient } from "../../support/peers/raw-client.ts";

export const platform = await loadPlatform();
export const echo: BackendHandler = ({ payload }) => payload;

interface Started {
  readonly backend: RunningBackend;
  readonly path: string;
  readonly errors: unknown[];
  connect(): Promise<RawClient>;
}

export async function start<S>(
  t: TestContext,
  options: Omit<ServeOptions<S>, "endpoint"> & Partial<ServeOptions<S>>,
  environment: Partial<ServeEnvironment> = {},
): Promise<Started> {
  const directory = mkdtempSync(join(tmpdir(), "rpv-"));
  const path = join(directory, "s");
  const errors: unknown[] = [];
  const clients: RawClient[] = [];
  const all = { endpoint: path, onError: (error: unknown) => errors.push(error), ...options } as ServeOptions<S>;
  const backend = await serveBackend(all, { platform, launchEnv: {}, ...environment });
  backend.closed.catch(() => {});
  t.after(async () => {
    for (const client of clients) client.socket.destroy();
    await backend.stop();
    rmSync(directory, { recursive: true });
  });
  return {
    backend,
    path,
    errors,
    async connect() {
      const client = await connectRaw(path);
      clients.push(client);
      return client;
    },
  };
}

export function deferred<T = void>(): { promise: Promise<T>; resolve(value: T): void; reject(error: unknown): void } {
  let settle: { resolve(value: T): void; reject(error: unknown): void } | undefined;
  const promise = new Promise<T>((resolve, reject) => (settle = { resolve, reject }));
  assert.ok(settle);
  return { promise, ...settle };
}

export async function rejectsConnection(path: string): Promise<void> {
  await assert.rejects(connectRaw(path));
}
