/** The golden error vectors as a stream reader meets them: over a real socket whose writer closes behind them. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Deadline } from "../base/clock.ts";
import { type BrokerErrorCode, hasCode } from "../base/errors.ts";
import { readFrameBody } from "../exchange/frame-io.ts";
import { loadPlatform } from "../platform/platform.ts";
import type { Listener } from "../platform/ports/index.ts";
import { decodeFrame } from "./envelope.ts";
import { MAX_FRAME_BODY_BYTES } from "./limits.ts";

interface ErrorVector {
  name: string;
  hex: string;
  expect_error?: { variant: string; context?: string; cap?: number };
}

const CODES: Record<string, BrokerErrorCode> = {
  UnsupportedFramingVersion: "FRAMING_VERSION_UNSUPPORTED",
  FrameTooLarge: "FRAME_TOO_LARGE",
  UnexpectedEof: "FRAME_TRUNCATED",
  Decode: "MESSAGE_MALFORMED",
};

const vectors = (
  JSON.parse(readFileSync(new URL("../../test/fixtures/golden-vectors.json", import.meta.url), "utf8")) as ErrorVector[]
).filter((vector) => vector.expect_error !== undefined);

const platform = await loadPlatform();
const directory = mkdtempSync(join(tmpdir(), "rpbg-"));
const path = join(directory, "s.sock");
const deadline = (): Deadline => Deadline.after(platform.clock, 10_000);
let listener: Listener;
let next: Buffer;

before(() => {
  listener = platform.transport.listen(path);
  listener.accept({
    async onConnection(connection) {
      await connection.writeAll(next, deadline());
      connection.close();
    },
    onError: ({ errno }) => assert.fail(errno),
  });
});

after(() => {
  listener.close();
  rmSync(directory, { recursive: true, force: true });
});

for (const { name, hex, expect_error: expected } of vectors) {
  test(name, async () => {
    next = Buffer.from(hex, "hex");
    const connection = await platform.transport.connect(path, deadline());
    try {
      await assert.rejects(
        async () => {
          const maxBodyBytes = expected?.cap ?? MAX_FRAME_BODY_BYTES;
          decodeFrame(await readFrameBody(connection, { maxBodyBytes, deadline: deadline() }));
        },
        (error) => {
          const code = CODES[expected?.variant ?? ""];
          assert.ok(code, `there is a code for ${expected?.variant}`);
          assert.ok(hasCode(error, code), String(error));
          if (expected?.context !== undefined) assert.equal(error.details.check, expected.context);
          return true;
        },
      );
    } finally {
      connection.close();
    }
  });
}
