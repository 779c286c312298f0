/**
 * Messages to bytes and back. Encoding follows the reference byte for byte (ascending field numbers, defaults
 * omitted); decoding is as strict as the reference: wire types, bounds, UTF-8 and nesting must hold, unknown fields are
 * dropped, unknown enum numbers kept.
 */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { BrokerError } from "../base/errors.ts";
import { decodeFlat, encodeFlat, flatShapeOf } from "./flat-codec.ts";
import { MAX_MESSAGE_DEPTH } from "./limits.ts";
import { checkStructure } from "./strict.ts";

// Depth is judged by checkStructure alone; the library counts one level differently and must not be the stricter one.
const READ_OPTIONS = { readUnknownFields: false, recursionLimit: MAX_MESSAGE_DEPTH + 1 };

/**
 * Byte fields of the result are views of `bytes`, which must not change while they are in use.
 *
 * @throws BrokerError MESSAGE_MALFORMED naming the message.
 */
export function decodeMessage<D extends DescMessage>(desc: D, bytes: Uint8Array): MessageShape<D> {
  try {
    const flat = flatShapeOf(desc);
    if (flat !== undefined) return decodeFlat(flat, bytes) as MessageShape<D>;
    checkStructure(desc, bytes);
    return fromBinary(desc, bytes, READ_OPTIONS);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new BrokerError("MESSAGE_MALFORMED", `malformed ${desc.name} (${bytes.length} bytes): ${why}`, {
      cause: error,
    });
  }
}

/** `headroom`: bytes left free, and undefined, in front of the message. */
export function encodeMessage<D extends DescMessage>(desc: D, init: MessageInitShape<D>, headroom = 0): Buffer {
  const flat = flatShapeOf(desc);
  if (flat !== undefined) return encodeFlat(flat, init as Readonly<Record<string, unknown>>, headroom);
  const bytes = toBinary(desc, create(desc, init), { writeUnknownFields: false });
  return headroom === 0 ? bufferOf(bytes) : Buffer.concat([Buffer.allocUnsafe(headroom), bytes]);
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
