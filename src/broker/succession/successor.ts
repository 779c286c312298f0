/** The process that takes this broker's place, seen from here. Until it says that it has, it is only somebody who is getting ready. */
import { Deadline } from "../../base/clock.ts";
import { acquireAsync, during } from "../../base/disposal-stack.ts";
import { BrokerError, hasCode, isBrokerError, reasonOf } from "../../base/errors.ts";
import { isPeerGone } from "../../base/peer-errno.ts";
import { exitText } from "../../model/exit-status.ts";
import { SUCCESSION_FD_VARIABLE } from "../../model/launch-environment.ts";
import type { Connection, Platform, SpawnedProcess } from "../../platform/ports/index.ts";
import { encodeMessage } from "../../wire/codec.ts";
import { type Frame, FrameSchema, type SuccessionMessage } from "../../wire/messages.ts";
import type { ChannelMemory } from "../control/control-channel.ts";
import type { EndpointClaim } from "../endpoint/claim-endpoint.ts";
import type { SuspendedBackend } from "../supervisor/backend.ts";
import { createSuccessionChannel, type SuccessionChannel } from "./succession-channel.ts";

/** How a process is started that can take our place. */
export interface SuccessorCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Its standard output and error; borrowed. */
  readonly outputFd: number;
}

export interface Estate {
  readonly claim: EndpointClaim;
  readonly accepted: number;
  readonly lastConnectionId: bigint;
  readonly backends: readonly SuspendedBackend[];
}

export interface Successor {
  readonly pid: number;
  /** Resolves with the version of its package once it could serve. @throws BrokerError RESTART_FAILED, DEADLINE_EXCEEDED */
  prepared(deadline: Deadline): Promise<string>;
  /**
   * Gives it duplicates of everything and resolves once it has them. It does nothing with them before `yours`. When this
   * rejects, nothing of that may be used before `end` has resolved.
   *
   * @throws BrokerError RESTART_FAILED, DEADLINE_EXCEEDED
   */
  handOver(estate: Estate, deadline: Deadline): Promise<void>;
  /**
   * From this call on it is the broker, and is ended by nothing that happens here. Resolves once it accepts.
   *
   * @throws BrokerError RESTART_FAILED, DEADLINE_EXCEEDED: it died, or hangs
   */
  yours(deadline: Deadline): Promise<void>;
  /** A client's connection, borrowed, and what was read from it. @throws BrokerError DEADLINE_EXCEEDED, IO_FAILED */
  relay(connection: Connection, frame: Frame): Promise<void>;
  /** Kills it and resolves when it is gone. */
  end(): Promise<void>;
}

const SEND_MS = 5_000;
const EXIT_MS = 1_000;

/** @throws BrokerError RESTART_FAILED */
export async function launchSuccessor(
  platform: Pick<Platform, "clock" | "processes" | "transport">,
  command: SuccessorCommand,
): Promise<Successor> {
  try {
    return await acquireAsync(async (held) => {
      const { ours, theirs } = platform.transport.pair();
      held.use(ours);
      const process = await during((ends) => {
        const inherit = [ends.use(theirs).transferable];
        const number = platform.processes.numberInChild(inherit, theirs.transferable);
        const { file, args, cwd, outputFd } = command;
        const env = successorEnvironment(command, number);
        return platform.processes.spawn({ file, args, cwd, env, output: platform.processes.lend(outputFd), inherit });
      });
      held.use(process);
      held.defer(() => process.kill());
      return new Child(platform, process, createSuccessionChannel(platform, ours));
    });
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    throw new BrokerError("RESTART_FAILED", `no new process could be started: ${error.reason}`, {
      details: error.details,
      cause: error,
    });
  }
}

function successorEnvironment(command: SuccessorCommand, channel: number): Record<string, string> {
  const env: Record<string, string> = { [SUCCESSION_FD_VARIABLE]: String(channel) };
  for (const [name, value] of Object.entries(command.env)) if (value !== undefined) env[name] ??= value;
  return env;
}

class Child implements Successor {
  constructor(
    private readonly platform: Pick<Platform, "clock" | "transport">,
    private readonly process: SpawnedProcess,
    private readonly channel: SuccessionChannel,
  ) {}

  get pid(): number {
    return this.process.pid;
  }

  async prepared(deadline: Deadline): Promise<string> {
    const message = await this.expect(deadline, "getting ready");
    return message.case === "prepared" ? message.value.version : unexpected(message, "prepared");
  }

  async handOver({ claim, accepted, lastConnectionId, backends }: Estate, deadline: Deadline): Promise<void> {
    const { dev: device, ino: inode } = claim.bound ?? { dev: 0n, ino: 0n };
    const { channel } = this;
    try {
      await channel.send(
        { case: "listener", value: { device, inode, accepted: BigInt(accepted), lastConnectionId } },
        { deadline, transferable: claim.listener.transferable },
      );
      await channel.send({ case: "lock", value: {} }, { deadline, transferable: claim.lock.transferable });
      for (const backend of backends)
        await channel.send(
          { case: "backend", value: backendMessage(backend) },
          { deadline, transferable: backend.channel?.transferable },
        );
      await channel.send({ case: "complete", value: { backends: backends.length } }, { deadline });
    } catch (error) {
      // When it has died, what it wrote before says more.
      if (!isPeerGone(error)) throw error;
    }
    const message = await this.expect(deadline, "taking over");
    if (message.case !== "received") unexpected(message, "received");
  }

  async yours(deadline: Deadline): Promise<void> {
    // Where the word does not arrive, the end of the channel says the same.
    await this.channel.send({ case: "yours", value: {} }, { deadline }).catch(() => this.channel.close());
    const received = await this.receive(deadline, "beginning to serve");
    if (received === undefined) {
      await this.endedWithin(EXIT_MS);
      throw brokeOff("beginning to serve", this.process);
    }
    if (received.case !== "serving") unexpected(received, "serving");
  }

  relay(connection: Connection, frame: Frame): Promise<void> {
    const bytes = encodeMessage(FrameSchema, frame);
    return this.channel.send(
      { case: "request", value: { frame: bytes } },
      { deadline: this.soon(), transferable: connection.transferable },
    );
  }

  private soon(): Deadline {
    return Deadline.after(this.platform.clock, SEND_MS);
  }

  async end(): Promise<void> {
    this.process.kill();
    await this.ended();
    this.channel.close();
    this.process.close();
  }

  /** Its end of a socket is closed a moment before it has ended. */
  private endedWithin(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.platform.clock.schedule(ms, resolve);
      this.process.onExit(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  private ended(): Promise<void> {
    return new Promise((resolve) => this.process.onExit(resolve));
  }

  /** The process is ended when it has broken off. */
  private async expect(deadline: Deadline, doing: string): Promise<SuccessionMessage["message"]> {
    const message = await this.receive(deadline, doing);
    if (message === undefined) throw await this.died(doing);
    if (message.case !== "failed") return message;
    throw new BrokerError("RESTART_FAILED", `the new process cannot take over: ${message.value.reason}`, {
      details: { check: message.value.code },
    });
  }

  /** Undefined when it has closed its end or died. */
  private async receive(deadline: Deadline, doing: string): Promise<SuccessionMessage["message"] | undefined> {
    const received = await this.channel.receive(deadline).catch((error: unknown) => {
      // One that dies with something unread resets the connection.
      if (hasCode(error, "IO_FAILED")) return undefined;
      if (!isBrokerError(error) || error.code === "DEADLINE_EXCEEDED") throw error;
      throw new BrokerError("RESTART_FAILED", `the new process broke off while ${doing}: ${reasonOf(error)}`);
    });
    if (received?.given !== undefined) this.platform.transport.discard(received.given);
    return received?.message;
  }

  private async died(doing: string): Promise<BrokerError> {
    // It has closed its end; whether it is about to end or not, it is of no use any more.
    this.process.kill();
    await this.ended();
    return brokeOff(doing, this.process);
  }
}

function brokeOff(doing: string, { exitStatus }: SpawnedProcess): BrokerError {
  if (exitStatus === undefined)
    return new BrokerError("RESTART_FAILED", `the new process closed its channel while ${doing}; its log says why`);
  const exit = exitText(exitStatus);
  return new BrokerError("RESTART_FAILED", `the new process ended with ${exit} while ${doing}; its log says why`, {
    details: { exit },
  });
}

function backendMessage(backend: SuspendedBackend) {
  const { endpoint, pid, lastHelloUnixMs, lastActiveUnixMs, terminated, killInMs, channel } = backend;
  const memory = channel?.memory;
  return {
    endpoint,
    pid,
    terminated,
    ...(killInMs !== undefined && { killInMs: BigInt(Math.round(killInMs)) }),
    lastHelloUnixMs: BigInt(lastHelloUnixMs),
    lastActiveUnixMs: BigInt(lastActiveUnixMs),
    ...(memory && { channel: channelMessage(memory) }),
  };
}

function channelMessage({ capabilities, features, leases, lastRequestId, unfinished }: ChannelMemory) {
  const report = leases && { ...leases, reasons: [...leases.reasons] };
  return { capabilities, features, lastRequestId, unfinished, ...(report && { leases: report }) };
}

function unexpected(message: SuccessionMessage["message"], expected: string): never {
  throw new BrokerError(
    "RESTART_FAILED",
    `the new process said ${message.case ?? "nothing known"} instead of ${expected}`,
  );
}
