import assert from "node:assert/strict";
import test from "node:test";
import { meansSameLaunch } from "./launch-means.ts";
import { createServiceDefinition, type ServiceDefinitionInit } from "./service-definition.ts";

const BASE: ServiceDefinitionInit = {
  serviceName: "svc",
  binaryPath: "/opt/{version}/svc",
  perVersionBinaryDir: "/opt",
  labels: { "exec.env.B": "2", "exec.env.A": "1" },
};

function same(change: Partial<ServiceDefinitionInit>): boolean {
  const changed = createServiceDefinition({ ...BASE, ...change });
  return meansSameLaunch(createServiceDefinition(BASE), changed, "1.0.0");
}

test("what is not part of the process counts for the running one", () => {
  for (const labels of [
    { "exec.stop_timeout": "1s" },
    { "exec.ready_timeout": "1s" },
    { "log.max_bytes": "8192" },
    { "idle.timeout": "5m" },
    { "handoff.enabled": "false" },
    { "my.own": "label" },
  ])
    assert.ok(same({ labels: { ...BASE.labels, ...labels } }), JSON.stringify(labels));
  assert.ok(same({ minVersion: "1.0.0" }));
  assert.ok(same({ binaryPath: "/opt/1.0.0/svc" }), "the same path, spelled out");
  assert.ok(same({ labels: { "exec.env.A": "1", "exec.env.B": "2" } }), "another order");
});

test("everything the process was started with makes it another one", () => {
  assert.ok(!same({ binaryPath: "/opt/{version}/svc2" }));
  assert.ok(!same({ perVersionBinaryDir: "/opt/1.0.0" }));
  for (const labels of [
    { "exec.args": '["-v"]' },
    { "exec.env.A": "3" },
    { "exec.cwd": "/tmp" },
    { "exec.bind": "broker" },
    { "exec.ready": "connect" },
    { "exec.nonblocking": "true" },
    { "handoff.endpoint": "{endpoint}.h" },
  ])
    assert.ok(!same({ labels: { ...BASE.labels, ...labels } }), JSON.stringify(labels));
});
