import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, type Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { hasCode } from "../../base/errors.ts";
import { relay } from "./relay.ts";

interface Stage {
  readonly backend: Socket;
  readonly input: PassThrough;
  readonly output: PassThrough;
  /** Everything the relay wrote, once it ended the output. */
  readonly written: Promise<string>;
  readonly over: Promise<void>;
}

async function stage(t: TestContext): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), "rl-"));
  const server = createServer({ allowHalfOpen: true });
  server.listen(join(directory, "s"));
  await once(server, "listening");
  const socket = connect(join(directory, "s"));
  const [backend] = (await once(server, "connection")) as [Socket];
  backend.on("error", () => {});
  t.after(() => {
    backend.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  const [input, output] = [new PassThrough(), new PassThrough()];
  const written = received(output);
  const over = relay(socket, { input, output, endOutput: async () => void output.end() });
  // Rejections are looked at by the tests, some of them later.
  over.catch(() => {});
  return { backend, input, output, written, over };
}

/** Everything up to the end, which leaves the other direction of a socket open. */
async function received(stream: Readable): Promise<string> {
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  await new Promise((resolve) => stream.once("end", resolve));
  return text;
}

test("the end of the input is passed on, and the backend still answers", async (t) => {
  const { backend, input, written, over } = await stage(t);
  input.end("question");
  assert.equal(await received(backend), "question");
  backend.end("answer");
  assert.equal(await written, "answer");
  await over;
});

test("the end of the backend is passed on, and the input still flows", async (t) => {
  const { backend, input, written, over } = await stage(t);
  backend.end("greeting");
  assert.equal(await written, "greeting");
  input.end("late");
  assert.equal(await received(backend), "late");
  await over;
});

test("what arrives is neither changed nor lost, whatever its size", async (t) => {
  const { backend, input, written, over } = await stage(t);
  const text = "0123456789abcdef".repeat(128 * 1024);
  backend.pipe(backend);
  input.end(text);
  assert.ok((await written) === text);
  await over;
});

test("a backend that is gone ends the relay with CONNECTION_CLOSED as soon as it is written to", async (t) => {
  const { backend, input, written, over } = await stage(t);
  backend.destroy();
  assert.equal(await written, "");
  input.write("anybody there?");
  await assert.rejects(over, (error) => hasCode(error, "CONNECTION_CLOSED"));
  assert.ok(input.destroyed);
});

test("an output that breaks ends the relay with IO_FAILED", async (t) => {
  const { backend, output, over } = await stage(t);
  output.destroy(new Error("broken pipe"));
  backend.write("x");
  await assert.rejects(over, (error) => hasCode(error, "IO_FAILED"));
});
