import { Deadline } from "../../src/base/clock.ts";
import type { Platform } from "../../src/platform/ports/index.ts";

const PATIENT_MS = 60_000;

/** For probes in tests: the frozen 500 ms are a promise of an idle machine, and a test may run on a busy one. */
export function patient(platform: Pick<Platform, "clock">): { deadline: Deadline } {
  return { deadline: Deadline.after(platform.clock, PATIENT_MS) };
}
