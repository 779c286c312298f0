import { readProc } from "./world.mjs";

/** Resident memory of a process. */
export function residentMb(pid) {
  return Math.round(residentKb(pid) / 102.4) / 10;
}

export function residentKb(pid) {
  const [, kb] = /^VmRSS:\s+(\d+) kB$/m.exec(readProc(pid, "status")) ?? [];
  if (kb === undefined) throw new Error(`process ${pid} is gone`);
  return Number(kb);
}
