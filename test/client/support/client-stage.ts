/** A client with an environment of its own, and the server that its fallback connects to. */
import { once } from "node:events";
import { connect as netConnect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { type Client, createClient } from "../../../src/client/connect.ts";
import type { ConnectOptions } from "../../../src/client/options.ts";
import { systemClock } from "../../../src/platform/node/clock.ts";
import { loadPlatform, placeInputs } from "../../../src/platform/platform.ts";
import { encodeResponse } from "../../../src/wire/envelope.ts";
import { sealedEnv } from "../../support/peers/connect-real.ts";
import { listen, onFirstFrame, temporaryDirectory } from "../../support/peers/scripted-server.ts";

/** A client whose default environment is `env` and that counts how often it loads the platform. */
export function clientWith(env: Record<string, string | undefined>): { client: Client; loads(): number } {
  let loads = 0;
  const client = createClient({
    clock: systemClock,
    env: () => env,
    places: placeInputs,
    loadPlatform: () => {
      loads += 1;
      return loadPlatform();
    },
  });
  return { client, loads: () => loads };
}

interface Stage {
  readonly options: ConnectOptions;
  readonly env: Record<string, string | undefined>;
  /** Connects to a server of the test's own. */
  direct(): Promise<Socket>;
  readonly brokerPath: string;
}

/** Auto-start is off and no broker listens at `brokerPath`. */
export async function stage(t: TestContext): Promise<Stage> {
  const directory = temporaryDirectory(t);
  const brokerPath = `${directory}/br`;
  const server = await listen(t, `${directory}/direct`, (socket) => {
    onFirstFrame(socket, (frame) =>
      socket.write(encodeResponse(frame, { payloadProtocol: frame.payloadProtocol, payload: frame.payload })),
    );
  });
  const env = {
    ...sealedEnv(directory),
    RUNNING_PROCESS_BROKER_V1_SOCKET: brokerPath,
    RUNNING_PROCESS_BROKER_AUTOSTART: "0",
  };
  const direct = async (): Promise<Socket> => {
    const socket = netConnect(server.path);
    t.after(() => socket.destroy());
    await once(socket, "connect");
    return socket;
  };
  return { options: { service: "demo", version: "1.2.3" }, env, direct, brokerPath };
}
