/** One identity probe: connect, challenge, answer, all before one deadline (spec: identity §3). */
import { abortError, Deadline } from "../base/clock.ts";
import { type BackendIdentity, identityFromMessage } from "../model/identity.ts";
import type { Platform, ProcessHandle } from "../platform/ports/index.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { MAX_FRAME_BODY_BYTES, PROBE_NONCE_BYTES } from "../wire/limits.ts";
import { decodeProbeResponse, encodeProbeRequest } from "../wire/probe.ts";
import { readFrameBody } from "./frame-io.ts";

/** Total time of one probe; frozen. */
export const PROBE_TIMEOUT_MS = 500;

export interface ProbeAnswer {
  readonly identity: BackendIdentity;
  /** Pid of the process that listens, from the kernel; the binder's for an inherited listener; 0 when unknown. */
  readonly listenerPid: number;
  /** The process that listens, held through its connection; undefined where the kernel has no SO_PEERPIDFD. The caller closes it. */
  readonly listener: ProcessHandle | undefined;
}

export type ProbePorts = Pick<Platform, "clock" | "transport" | "host">;

/**
 * Asks the endpoint at `path` who it is. What it answers is its own word; `verifyBackend` compares it with the kernel's.
 *
 * @param options.deadline for the whole exchange; default 500 ms from now
 * @param options.signal gives up early
 * @throws BrokerError whatever the step met: IO_FAILED, DEADLINE_EXCEEDED, ABORTED, FRAME_*, MESSAGE_MALFORMED, IDENTITY_MALFORMED
 */
export async function probeEndpoint(
  platform: ProbePorts,
  path: string,
  options: { deadline?: Deadline | undefined; signal?: AbortSignal | undefined } = {},
): Promise<ProbeAnswer> {
  const deadline = options.deadline ?? Deadline.after(platform.clock, PROBE_TIMEOUT_MS);
  const { signal } = options;
  const nonce = platform.host.randomBytes(PROBE_NONCE_BYTES);
  const connection = await platform.transport.connect(path, deadline);
  const giveUp = (): void => connection.close();
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    if (signal?.aborted) throw abortError(signal);
    await connection.writeAll(encodeProbeRequest(nonce), deadline);
    const body = await readFrameBody(connection, { maxBodyBytes: MAX_FRAME_BODY_BYTES, deadline });
    const identity = identityFromMessage(decodeProbeResponse(decodeFrame(body), nonce));
    return { identity, listenerPid: connection.peer.pid, listener: connection.openPeer() };
  } catch (error) {
    throw signal?.aborted ? abortError(signal) : error;
  } finally {
    signal?.removeEventListener("abort", giveUp);
    connection.close();
  }
}
