/** A backend over a real control channel; the test is the broker at its other end, and behind the socket it dials. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { serveBackend } from "../../../src/backend/serve-backend.ts";
import type { RunningBackend, ServeOptions } from "../../../src/backend/serve-options.ts";
import { Deadline } from "../../../src/base/clock.ts";
import { readFrameBody } from "../../../src/exchange/frame-io.ts";
import { loadPlatform } from "../../../src/platform/platform.ts";
import type { Connection, Listener, Platform } from "../../../src/platform/ports/index.ts";
import { fdOf } from "../../../src/platform/posix/descriptors.ts";
import { type ControlArm, decodeControlMessage, encodeControlToBackend } from "../../../src/wire/control.ts";
import { decodeFrame } from "../../../src/wire/envelope.ts";
import type { ControlMessage } from "../../../src/wire/messages.ts";
import { connectRaw, type RawClient } from "../../support/peers/raw-client.ts";

export const platform = await loadPlatform();
export const soon = (): Deadline => Deadline.after(platform.clock, 20_000);
export const DONE = 1;

type Message = ControlMessage["message"];
type Kind = NonNullable<Message["case"]>;
type ValueOf<K extends Kind> = Extract<Message, { case: K }> extends { value: infer V } ? V : never;

/** The broker's end of one channel. */
export class Broker {
  constructor(readonly connection: Connection) {}

  /** Messages of the given kind; others are passed over. */
  async next<K extends Kind>(kind: K): Promise<ValueOf<K>> {
    for (;;) {
      const body = await readFrameBody(this.connection, { maxBodyBytes: 65_536, deadline: soon() });
      const { message } = decodeControlMessage(decodeFrame(body));
      if (message.case === kind) return message.value as ValueOf<K>;
    }
  }

  async send(message: ControlArm): Promise<void> {
    await this.connection.writeAll(encodeControlToBackend(message), soon());
  }

  async ended(): Promise<void> {
    while ((await this.connection.readSome(65_536, soon())).length > 0);
  }
}

interface Bench {
  readonly backend: RunningBackend;
  readonly broker: Broker;
  readonly errors: unknown[];
  /** What the backend dials. */
  readonly brokerPath: string;
  /** Listens there from now on. */
  listen(): { next(): Promise<Broker>; close(): void };
  connect(): Promise<RawClient>;
}

export async function setUp(
  t: TestContext,
  options: Partial<ServeOptions> = {},
  other: Partial<Platform> = {},
): Promise<Bench> {
  const directory = mkdtempSync(join(tmpdir(), "rpc-"));
  const path = join(directory, "s");
  const brokerPath = join(directory, "b");
  const errors: unknown[] = [];
  const closing: (() => void)[] = [];
  const { ours, theirs } = platform.transport.pair();
  const backend = await serveBackend(
    {
      protocol: 0xf001,
      handle: ({ payload }: { payload: Uint8Array }) => payload,
      onError: (error: unknown) => errors.push(error),
      ...options,
    } as ServeOptions,
    {
      platform: { ...platform, ...other },
      launchEnv: {
        RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: path,
        RUNNING_PROCESS_BROKER_CONTROL_FD: String(fdOf(theirs.take())),
        RUNNING_PROCESS_BROKER_ENDPOINT: brokerPath,
      },
    },
  );
  t.after(async () => {
    await backend.stop();
    ours.close();
    for (const close of closing) close();
    rmSync(directory, { recursive: true });
  });
  return {
    backend,
    broker: new Broker(ours),
    errors,
    brokerPath,
    listen() {
      const listener: Listener = platform.transport.listen(brokerPath);
      const waiting: ((broker: Broker) => void)[] = [];
      const come: Broker[] = [];
      listener.accept({
        onConnection(connection) {
          const broker = new Broker(connection);
          closing.push(() => connection.close());
          const taker = waiting.shift();
          if (taker === undefined) come.push(broker);
          else taker(broker);
        },
        onError: () => {},
      });
      closing.push(() => listener.close());
      return {
        next: async () => come.shift() ?? new Promise<Broker>((resolve) => waiting.push(resolve)),
        close: () => listener.close(),
      };
    },
    async connect() {
      const client = await connectRaw(path);
      closing.push(() => client.socket.destroy());
      return client;
    },
  };
}

export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

export async function connectable(connect: () => Promise<RawClient>): Promise<boolean> {
  try {
    (await connect()).socket.destroy();
    return true;
  } catch {
    return false;
  }
}
