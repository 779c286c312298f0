/** `connectWith` on the real platform, with every place inside one temporary directory. */
import type { TestContext } from "node:test";
import { type BrokerConnected, connectWith } from "../../../src/client/connect-with.ts";
import { type ConnectOptions, checkConnectOptions, DEFAULT_TIMEOUT_MS } from "../../../src/client/options.ts";
import { createTimeBox } from "../../../src/client/time-box.ts";
import { loadPlatform, placeInputs } from "../../../src/platform/platform.ts";
import type { Env } from "../../../src/platform/ports/index.ts";

/** An environment whose directories are all below `directory`. */
export function sealedEnv(directory: string, extra: Env = {}): Env {
  return {
    PATH: process.env.PATH,
    HOME: directory,
    XDG_RUNTIME_DIR: directory,
    XDG_CONFIG_HOME: `${directory}/config`,
    XDG_DATA_HOME: `${directory}/data`,
    XDG_STATE_HOME: `${directory}/state`,
    ...extra,
  };
}

export type TestOptions = Partial<ConnectOptions> & { env: Env };

/** The socket is destroyed when the test ends. */
export async function connectReal(t: TestContext, options: TestOptions): Promise<BrokerConnected> {
  const platform = await loadPlatform();
  const full: ConnectOptions = { service: "demo", version: "1.2.3", ...options };
  checkConnectOptions(full);
  const box = createTimeBox(platform.clock, full.timeoutMs ?? DEFAULT_TIMEOUT_MS, full.signal);
  const connected = await connectWith({ platform, places: placeInputs(options.env), box }, full);
  t.after(() => connected.socket.destroy());
  return connected;
}
