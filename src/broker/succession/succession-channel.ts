/** The socket between a broker and its successor: whole messages, each with a descriptor or without. */
import type { Deadline } from "../../base/clock.ts";
import type { Connection, Platform, Received, Transferable } from "../../platform/ports/index.ts";
import { decodeFrameHeader, FRAME_HEADER_BYTES, frameTruncated, truncationContext } from "../../wire/framing.ts";
import { MAX_SUCCESSION_BYTES } from "../../wire/limits.ts";
import type { SuccessionMessage } from "../../wire/messages.ts";
import { decodeSuccession, encodeSuccession, type SuccessionArm } from "../../wire/succession.ts";

export interface SuccessionChannel {
  /**
   * A duplicate of `transferable` goes along, which must stay open until then. Messages leave in the order of the calls; after
   * one that failed none does, because half of it may be on its way.
   *
   * @throws BrokerError DEADLINE_EXCEEDED, IO_FAILED
   */
  send(message: SuccessionArm, options: { deadline: Deadline; transferable?: Transferable | undefined }): Promise<void>;
  /**
   * Undefined at the end of the stream. What came with it becomes the caller's.
   *
   * @throws BrokerError MESSAGE_MALFORMED, FRAME_TOO_LARGE, FRAME_TRUNCATED, FRAMING_VERSION_UNSUPPORTED,
   * DEADLINE_EXCEEDED, IO_FAILED
   */
  receive(deadline: Deadline): Promise<SuccessionReceived | undefined>;
  close(): void;
}

export interface SuccessionReceived {
  readonly message: SuccessionMessage["message"];
  readonly given: Received | undefined;
}

/** Bytes of a message that leave together with its descriptor. */
const FIRST_BYTES = 4096;

/** Consumes the connection. */
export function createSuccessionChannel(
  { transport }: Pick<Platform, "transport">,
  connection: Connection,
): SuccessionChannel {
  let turn: Promise<void> = Promise.resolve();
  let failure: { readonly error: unknown } | undefined;
  return {
    send(message, { deadline, transferable }) {
      const bytes = encodeSuccession(message);
      const write = async (): Promise<void> => {
        if (failure !== undefined) throw failure.error;
        if (transferable === undefined) return connection.writeAll(bytes, deadline);
        await connection.sendWithDescriptor(bytes.subarray(0, FIRST_BYTES), transferable, deadline);
        if (bytes.length > FIRST_BYTES) await connection.writeAll(bytes.subarray(FIRST_BYTES), deadline);
      };
      const sent = turn.then(write);
      turn = sent.catch((error: unknown) => {
        failure ??= { error };
      });
      return sent;
    },
    async receive(deadline) {
      const head = await connection.receiveExactly(FRAME_HEADER_BYTES, deadline);
      const [given, ...surplus] = head.received;
      try {
        for (const each of surplus) transport.discard(each);
        if (head.bytes.length === 0 && given === undefined) return undefined;
        if (head.bytes.length < FRAME_HEADER_BYTES) throw frameTruncated(truncationContext(head.bytes.length));
        const length = decodeFrameHeader(head.bytes, MAX_SUCCESSION_BYTES);
        const body = await connection.readExactly(length, deadline);
        if (body.length < length) throw frameTruncated("frame body");
        return { message: decodeSuccession(body), given };
      } catch (error) {
        if (given !== undefined) transport.discard(given);
        throw error;
      }
    },
    close: () => connection.close(),
  };
}
