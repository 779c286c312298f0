/** A broker whose answers are written by the test, and a backend behind it. */
import type { TestContext } from "node:test";
import type { BrokerConnected } from "../../../src/client/connect-with.ts";
import { encodeMessage } from "../../../src/wire/codec.ts";
import { encodeFrameBytes } from "../../../src/wire/framing.ts";
import { type Frame, FrameKind, FrameSchema } from "../../../src/wire/messages.ts";
import { connectReal, sealedEnv, type TestOptions } from "../../support/peers/connect-real.ts";
import {
  encodeNegotiated,
  listen,
  onFirstFrame,
  type ScriptedServer,
  temporaryDirectory,
} from "../../support/peers/scripted-server.ts";

type Script = (hello: Frame, backendPath: string) => Buffer | undefined;

interface Stage {
  readonly broker: ScriptedServer;
  readonly backend: ScriptedServer;
  readonly directory: string;
  connect(options?: Partial<TestOptions>): Promise<BrokerConnected>;
}

/** A broker that answers each Hello by `script` (undefined: it closes without a word), and a backend that says "hi". */
export async function stage(t: TestContext, script: Script): Promise<Stage> {
  const directory = temporaryDirectory(t);
  const backend = await listen(t, `${directory}/be`, (socket) => socket.write("hi"));
  const broker = await listen(t, `${directory}/br`, (socket) => {
    onFirstFrame(socket, (hello) => {
      const bytes = script(hello, backend.path);
      if (bytes === undefined) socket.end();
      else socket.end(bytes);
    });
  });
  const env = sealedEnv(directory);
  const connect = (options: Partial<TestOptions> = {}): Promise<BrokerConnected> =>
    connectReal(t, { env, ...options, broker: { endpoint: broker.path, autoStart: false } });
  return { broker, backend, directory, connect };
}

export function reply(fields: Partial<Frame>): Buffer {
  return encodeFrameBytes(
    encodeMessage(FrameSchema, { envelopeVersion: 1, kind: FrameKind.RESPONSE, requestId: 1n, ...fields }),
  );
}

export const negotiated = (backendPipe: string): Uint8Array => encodeNegotiated({ backendPipe });
