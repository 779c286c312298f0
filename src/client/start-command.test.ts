import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { hash16, type PlaceInputs } from "../model/places.ts";
import { planBrokerStart } from "./start-command.ts";

const OPTIONS = { service: "demo", version: "1.2.3" };

function placesWith(env: Record<string, string | undefined>): PlaceInputs {
  return { os: "linux", env, uid: 1000, home: "/h" };
}

test("our own rpb is started under the running Node, for the instance and its socket", () => {
  const choice = { endpoint: "/run/x.sock", instance: { kind: "private", service: "demo" } } as const;
  const start = planBrokerStart(choice, OPTIONS, {
    places: placesWith({}),
    node: () => ({ file: "/usr/bin/node", args: ["--flag"] }),
  });
  const rpb = fileURLToPath(new URL("../../dist/cli/rpb.cjs", import.meta.url));
  assert.equal(start.file, "/usr/bin/node");
  assert.deepEqual(start.args, [
    "--flag",
    rpb,
    "serve",
    "--socket",
    "/run/x.sock",
    "--idle-exit",
    "10m",
    "--instance",
    "private:demo",
    "--launch",
    "demo@1.2.3",
  ]);
  assert.equal(start.logPath, "/h/.local/state/running-process/logs/broker-private-demo.log");
});

test("a given socket has no instance; a given definition directory and command are passed on", () => {
  const options = {
    ...OPTIONS,
    definitionDirectory: "/defs",
    broker: { startCommand: { file: "/opt/rpb", args: ["-v"] } },
  };
  const choice = { endpoint: "/run/x.sock", instance: undefined };
  const start = planBrokerStart(choice, options, {
    places: placesWith({ XDG_STATE_HOME: "/s" }),
    node: () => ({ file: "/usr/bin/node", args: ["--flag"] }),
  });
  assert.equal(start.file, "/opt/rpb");
  assert.deepEqual(start.args, [
    "-v",
    "serve",
    "--socket",
    "/run/x.sock",
    "--idle-exit",
    "10m",
    "--service-def-dir",
    "/defs",
    "--launch",
    "demo@1.2.3",
  ]);
  assert.equal(start.logPath, `/s/running-process/logs/broker-x-${hash16("/run/x.sock")}.log`);
});

test("a launch that belongs to a trace is left to the Hello that says so", () => {
  const choice = { endpoint: "/run/x.sock", instance: undefined };
  const options = { ...OPTIONS, traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
  const start = planBrokerStart(choice, options, {
    places: placesWith({}),
    node: () => ({ file: "/n", args: ["--flag"] }),
  });
  assert.ok(!start.args.includes("--launch"));
});

test("our own broker keeps the caller's certificates for backends; what the caller starts instead gets them as they are", () => {
  const choice = { endpoint: "/run/x.sock", instance: undefined };
  const at = { places: placesWith({ NODE_EXTRA_CA_CERTS: "/ca.pem" }), node: () => ({ file: "/n", args: ["--flag"] }) };
  assert.deepEqual(planBrokerStart(choice, OPTIONS, at).env, { RUNNING_PROCESS_BROKER_NODE_EXTRA_CA_CERTS: "/ca.pem" });
  const broker = { startCommand: { file: "npx", args: ["rpb"] } };
  assert.deepEqual(planBrokerStart(choice, { ...OPTIONS, broker }, at).env, { NODE_EXTRA_CA_CERTS: "/ca.pem" });
});

test("the broker gets the caller's environment without what belongs to the caller's own launch", () => {
  const kept = {
    PATH: "/bin",
    RUNNING_PROCESS_SERVICE_DEF_DIR: "/d",
    RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED: "1",
    NODE_ENV: "test",
    // Which broker to ask is the user's setting and stays right; a backend may be a client, too.
    RUNNING_PROCESS_BROKER_V1_SOCKET: "/x",
  };
  const dropped = {
    RUNNING_PROCESS_BROKER_V1_SERVICE_NAME: "other",
    RUNNING_PROCESS_BROKER_V1_TRACEPARENT: "tp",
    RUNNING_PROCESS_BROKER_LISTENER_FD: "3",
    RUNNING_PROCESS_BROKER_CONTROL_FD: "4",
    LISTEN_FDS: "1",
    LISTEN_PID: "2",
    LISTEN_FDNAMES: "n",
    NODE_CHANNEL_FD: "3",
    NODE_OPTIONS: "--inspect-brk",
    UNSET: undefined,
  };
  const choice = { endpoint: "/run/x.sock", instance: undefined };
  const { env } = planBrokerStart(choice, OPTIONS, {
    places: placesWith({ ...kept, ...dropped }),
    node: () => ({ file: "/n", args: ["--flag"] }),
  });
  assert.deepEqual(env, kept);
});
