// Frames that come on the connection in use: one connection at a time, so one buffer serves all.
import { failed, recv } from "./libc.mjs";

const HEADER_BYTES = 5;
const buffer = Buffer.alloc(64 * 1024);
let filled = 0;
let taken = 0;

/** To be called for each new connection. */
export function forgetFrames() {
  filled = 0;
  taken = 0;
}

/** The body of the next frame, good until the next connection. Takes everything that is there in one call. */
export function readFrame(fd) {
  if (taken === filled) forgetFrames();
  while (filled - taken < HEADER_BYTES) receiveMore(fd);
  const end = taken + HEADER_BYTES + buffer.readUInt32LE(taken + 1);
  while (filled < end) receiveMore(fd);
  const body = buffer.subarray(taken + HEADER_BYTES, end);
  taken = end;
  return body;
}

/** Waits for exactly so many bytes and throws them away. */
export function skipBytes(fd, count) {
  for (let got = 0; got < count; ) {
    const more = Number(recv(fd, buffer, Math.min(count - got, buffer.length), 0));
    if (more === 0) throw new Error("the connection ended before the answer");
    if (more < 0) throw failed("recv");
    got += more;
  }
}

function receiveMore(fd) {
  const got = Number(recv(fd, filled === 0 ? buffer : buffer.subarray(filled), buffer.length - filled, 0));
  if (got === 0) throw new Error("the connection ended before the answer");
  if (got < 0) throw failed("recv");
  filled += got;
}
