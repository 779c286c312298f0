/** Protobuf's wire format by hand: the bytes of single fields. */
export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const GROUP = 3;
export const END_GROUP = 4;
export const FIXED32 = 5;

export function tag(number: number, wireType: number): Buffer {
  return varint(BigInt(number) * 8n + BigInt(wireType));
}

export function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** Zero in `length` bytes. */
export function longVarint(length: number): Buffer {
  return Buffer.concat([Buffer.alloc(length - 1, 0x80), Buffer.alloc(1)]);
}

export function field(number: number, bytes: Uint8Array): Buffer {
  return join(tag(number, BYTES), varint(bytes.length), bytes);
}

export function nestedGroups(depth: number, inside: Uint8Array = Buffer.alloc(0)): Buffer {
  return join(
    ...Array<Buffer>(depth).fill(tag(2000, GROUP)),
    inside,
    ...Array<Buffer>(depth).fill(tag(2000, END_GROUP)),
  );
}

export function join(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts);
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
