/** The frozen renderings of what a broker knows about itself (spec: admin §3.1). */
import type { Backend } from "../supervisor/backend.ts";
import type { BrokerSnapshot } from "./broker-snapshot.ts";

export function renderStatusText(snapshot: BrokerSnapshot): string {
  return `broker_instance: ${snapshot.instance}\naccepting_hello: ${snapshot.acceptingHello}\n`;
}

/** The frozen keys, then ours (`draining`, `crashes`, `endpoint`, `launching`, `shutting_down`; `adopted` of a backend). */
export function renderStatusJson(snapshot: BrokerSnapshot): object {
  return {
    schema_version: 1,
    command: "status",
    generated_at_unix_ms: Math.round(snapshot.nowUnixMs),
    broker_instance: snapshot.instance,
    broker_pid: snapshot.pid,
    uptime_seconds: Math.round(snapshot.uptimeMs) / 1000,
    accepting_hello: snapshot.acceptingHello,
    connections_open: snapshot.connectionsOpen,
    fd_pressure: { demoted: snapshot.fdDemoted },
    inode_pressure: inodePressure(snapshot.inodes),
    backends: snapshot.backends.map((backend) => ({
      ...backendRow(backend),
      state: backendState(backend),
      adopted: backend.adopted === true,
    })),
    draining: snapshot.draining.map(backendRow),
    crashes: snapshot.crashes.map((row) => ({
      broker_instance: row.key.instanceId,
      service_name: row.key.service,
      service_version: row.key.version,
      crashes: row.crashes,
      last_exit: row.exit,
      last_log_lines: row.logTail,
      last_unix_ms: row.atUnixMs,
    })),
    endpoint: snapshot.endpoint,
    launching: snapshot.launching,
    shutting_down: snapshot.shuttingDown,
  };
}

/** The frozen two words. */
export function backendState(backend: Pick<Backend, "state">): "running" | "stale" {
  return backend.state === "running" ? "running" : "stale";
}

function backendRow(backend: Backend): object {
  return {
    service_name: backend.key.service,
    service_version: backend.key.version,
    pid: backend.identity.pid,
    backend_pipe: backend.identity.endpoint.path,
    last_active_unix_ms: backend.lastActiveUnixMs,
  };
}

function inodePressure(inodes: BrokerSnapshot["inodes"]): object {
  if (inodes === undefined) return { supported: false, detail: "inode accounting not applicable on this filesystem" };
  const used = inodes.total - inodes.free;
  return {
    supported: true,
    inodes_total: Number(inodes.total),
    inodes_free: Number(inodes.free),
    inodes_used: Number(used),
    used_ratio: Math.round((Number(used) / Number(inodes.total)) * 10_000) / 10_000,
  };
}
