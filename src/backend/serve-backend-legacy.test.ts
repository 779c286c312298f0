/** A daemon's older wire on the same endpoint. */
import assert from "node:assert/strict";
import { createServer as createHttpServer, get } from "node:http";
import type { Socket } from "node:net";
import { test } from "node:test";
import { deferred, echo, platform, start } from "../../test/backend/support/serving.ts";
import { patient } from "../../test/support/patient.ts";
import { request, textOf } from "../../test/support/peers/raw-client.ts";
import { probeEndpoint } from "../exchange/probe-endpoint.ts";

test("bytes of the legacy wire hand the connection over with what was read; probes and frames keep working beside it", async (t) => {
  const http = createHttpServer((_request, response) => response.end("from http"));
  const { path, connect } = await start<string>(t, {
    protocol: 0xf001,
    handle: echo,
    load: () => "state",
    legacy: {
      onSocket(socket: Socket, head, { state, signal }) {
        assert.equal(state, "state");
        signal.addEventListener("abort", () => socket.destroy());
        socket.unshift(head);
        http.emit("connection", socket);
        socket.resume();
      },
    },
  });
  const body = await new Promise<string>((resolve, reject) => {
    get({ socketPath: path, path: "/", agent: false }, (response) => {
      response.setEncoding("utf8").once("data", resolve);
    }).once("error", reject);
  });
  assert.equal(body, "from http");
  assert.equal((await probeEndpoint(platform, path, patient(platform))).identity.pid, process.pid);
  const client = await connect();
  client.socket.write(request("framed"));
  assert.equal(textOf(await client.frame()), "framed");
});

test("frames before the legacy bytes are answered first; a detector decides what begins with 0x01", async (t) => {
  const heads: string[] = [];
  const handed = deferred();
  const { connect, backend } = await start(t, {
    protocol: 0xf001,
    handle: echo,
    legacy: {
      detect: (bytes) => (bytes.length < 2 ? "need-more" : bytes[1] === 0x4c ? "legacy" : "not-legacy"),
      onSocket(socket, head, { signal }) {
        heads.push(head.toString("latin1"));
        signal.addEventListener("abort", () => socket.end("bye"));
        handed.resolve();
      },
    },
  });
  const client = await connect();
  client.socket.write(Buffer.concat([request("first"), Buffer.from([0x01])]));
  assert.equal(textOf(await client.frame()), "first");
  assert.deepEqual(heads, [], "one byte does not suffice to tell");
  client.socket.removeAllListeners("data");
  const bye = new Promise<string>((resolve) =>
    client.socket.once("data", (chunk: Buffer) => resolve(chunk.toString())),
  );
  client.socket.write(Buffer.from([0x4c, 0x21]));
  await handed.promise;
  assert.deepEqual(heads, ["\x01L!"]);
  const stopping = backend.stop();
  assert.equal(await bye, "bye", "its signal told the legacy wire to end");
  client.socket.end();
  await stopping;
});

test("legacy bytes behind a request wait until it is answered, so that the wires do not mix", async (t) => {
  const gate = deferred();
  const running = deferred();
  const log: string[] = [];
  const handed = deferred();
  const { connect, path } = await start(t, {
    protocol: 0xf001,
    handle: async ({ payload }) => {
      running.resolve();
      await gate.promise;
      log.push("answered");
      return payload;
    },
    legacy: {
      onSocket(socket, head, { signal }) {
        log.push(`handed over ${head}`);
        signal.addEventListener("abort", () => socket.destroy());
        handed.resolve();
      },
    },
  });
  const client = await connect();
  client.socket.write(Buffer.concat([request("slow"), Buffer.from("GET /")]));
  await running.promise;
  await probeEndpoint(platform, path, patient(platform));
  assert.deepEqual(log, []);
  gate.resolve();
  assert.equal(textOf(await client.frame()), "slow");
  await handed.promise;
  assert.deepEqual(log, ["answered", "handed over GET /"]);
});

test("a legacy wire that throws costs only that connection", async (t) => {
  const fault = new Error("a bug");
  const { connect, errors } = await start(t, {
    legacy: {
      onSocket() {
        throw fault;
      },
    },
  });
  const client = await connect();
  client.socket.write("GET /");
  await client.over;
  assert.deepEqual(errors, [fault]);
});
