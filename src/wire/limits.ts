/** Every number a peer can run into, in one place: value, unit, reason. The frozen ones are protocol; see docs/protocol.md. */

/** Bytes of a frame body; exactly this many are allowed. Frozen. */
export const MAX_FRAME_BODY_BYTES = 16 * 1024 * 1024;
/** Bytes of the frame body that holds a Hello (the whole Frame, not only its payload). Frozen. */
export const MAX_HELLO_BODY_BYTES = 64 * 1024;
/** UTF-8 bytes of service, instance and program names. Frozen. */
export const MAX_NAME_BYTES = 64;
/** UTF-8 bytes of `Hello.wanted_version`. Frozen. */
export const MAX_WANTED_VERSION_BYTES = 64;
/** UTF-8 bytes of `Hello.client_version`. Frozen. */
export const MAX_CLIENT_VERSION_BYTES = 128;
/** UTF-8 bytes of `Hello.client_lib_name` and of `client_lib_version`. Frozen. */
export const MAX_CLIENT_LIB_BYTES = 64;
/** Bytes of the random challenge of an identity probe. Frozen. */
export const PROBE_NONCE_BYTES = 32;
/** Seconds; what a client that proposes 0 gets. Frozen. */
export const DEFAULT_KEEPALIVE_SECS = 1800n;
/** Bytes of a `.servicedef` file. Ours: real ones have a few hundred bytes, and every Hello may read one. */
export const MAX_DEFINITION_BYTES = 256 * 1024;
/** Bytes of an encoded lifecycle event. Frozen. */
export const MAX_LIFECYCLE_EVENT_BYTES = 512;
/** Bytes of a message between a broker and its successor: a whole frame body and its wrapping. Ours. */
export const MAX_SUCCESSION_BYTES: number = MAX_FRAME_BODY_BYTES + 64 * 1024;
/** Nested protobuf messages. Frozen (the reference decoder's limit). */
export const MAX_MESSAGE_DEPTH = 100;
