import { cpus, release, totalmem } from "node:os";

export function describeMachine() {
  return {
    cpu: cpus()[0]?.model.trim() || process.arch,
    cores: cpus().length,
    memoryMb: Math.round(totalmem() / 1024 / 1024),
    kernel: release(),
    node: process.version,
  };
}
