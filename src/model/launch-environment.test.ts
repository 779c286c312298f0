import assert from "node:assert/strict";
import test from "node:test";
import {
  brokerEnvironment,
  inheritableEnvironment,
  type LaunchFacts,
  launchEnvironment,
  launchMarker,
} from "./launch-environment.ts";

const LAUNCH: LaunchFacts = {
  service: "svc",
  version: "1.2.3",
  endpoint: { namespaceId: "private:svc", path: "/run/be.sock" },
  instanceId: "private:svc",
  binary: "/opt/svc",
  traceparent: "",
  tracestate: "",
  extra: {},
};

const DESCRIBED = {
  RUNNING_PROCESS_BROKER_V1_SERVICE_NAME: "svc",
  RUNNING_PROCESS_BROKER_V1_SERVICE_VERSION: "1.2.3",
  RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: "/run/be.sock",
  RUNNING_PROCESS_BROKER_V1_BACKEND_NAMESPACE: "private:svc",
  RUNNING_PROCESS_BROKER_V1_INSTANCE: "private:svc",
  RUNNING_PROCESS_BROKER_BINARY: "/opt/svc",
};

test("a launch without trace context and listener is described by six variables", () => {
  assert.deepEqual(launchEnvironment({}, LAUNCH), DESCRIBED);
});

test("trace context and listener are there exactly when they are", () => {
  assert.deepEqual(launchEnvironment({}, { ...LAUNCH, traceparent: "p", tracestate: "s", listenerFd: 3 }), {
    ...DESCRIBED,
    RUNNING_PROCESS_BROKER_V1_TRACEPARENT: "p",
    RUNNING_PROCESS_BROKER_V1_TRACESTATE: "s",
    RUNNING_PROCESS_BROKER_LISTENER_FD: "3",
  });
});

test("certificates are set aside for a broker and given back to its backends, unless those get others", () => {
  const asked = { PATH: "/bin", NODE_EXTRA_CA_CERTS: "/ca.pem" };
  const brokers = brokerEnvironment(asked);
  assert.deepEqual(brokers, { PATH: "/bin", RUNNING_PROCESS_BROKER_NODE_EXTRA_CA_CERTS: "/ca.pem" });
  assert.deepEqual(launchEnvironment(brokers, LAUNCH), { ...asked, ...DESCRIBED });
  // A broker that a backend starts in its turn.
  assert.deepEqual(brokerEnvironment(launchEnvironment(brokers, LAUNCH)), brokers);
  const own = { ...brokers, NODE_EXTRA_CA_CERTS: "/own.pem" };
  assert.equal(launchEnvironment(own, LAUNCH).NODE_EXTRA_CA_CERTS, "/own.pem");
  const extra = { NODE_EXTRA_CA_CERTS: "/of-the-definition.pem" };
  assert.equal(launchEnvironment(brokers, { ...LAUNCH, extra }).NODE_EXTRA_CA_CERTS, "/of-the-definition.pem");
  assert.deepEqual(brokerEnvironment({ PATH: "/bin" }), { PATH: "/bin" });
});

test("what was true for the broker only is not inherited, all else is", () => {
  const lies = [
    "RUNNING_PROCESS_BROKER_V1_TRACEPARENT",
    "RUNNING_PROCESS_BROKER_V1_TRACESTATE",
    "RUNNING_PROCESS_BROKER_V1_SESSION_TOKEN",
    "RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE",
    "RUNNING_PROCESS_BROKER_BINARY",
    "RUNNING_PROCESS_BROKER_LISTENER_FD",
    "RUNNING_PROCESS_BROKER_CONTROL_FD",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
  ];
  const kept = { PATH: "/bin", LISTEN: "kept", MY_LISTEN_FDS: "kept", RUNNING_PROCESS_DISABLE: "1", EMPTY: "" };
  const own = { ...Object.fromEntries(lies.map((name) => [name, "stale"])), ...kept, GONE: undefined };
  assert.deepEqual(inheritableEnvironment(own), kept);
  assert.deepEqual(launchEnvironment(own, LAUNCH), { ...kept, ...DESCRIBED });
});

test("the definition's variables win over the broker's, the launch's over both", () => {
  const extra = { A: "definition", RUNNING_PROCESS_BROKER_V1_SERVICE_NAME: "liar" };
  const env = launchEnvironment({ A: "broker", B: "broker" }, { ...LAUNCH, extra });
  assert.deepEqual(env, { ...DESCRIBED, A: "definition", B: "broker" });
});

test("the marker is an entry of the launch's environment", () => {
  const [name, value] = launchMarker(LAUNCH.endpoint).split("=");
  assert.equal(launchEnvironment({}, LAUNCH)[name as string], value);
});
