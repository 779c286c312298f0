/**
 * What one process gives to another: descriptors on POSIX systems, handles on Windows. Both are opaque above the platform,
 * and neither stands for the other: what is lent stays its owner's, what was received must be adopted or discarded.
 */

declare const LENT: unique symbol;
declare const RECEIVED: unique symbol;

/** Something that a child can inherit and a peer can be sent. Borrowed: good until what it was taken from is closed. */
export interface Transferable {
  readonly [LENT]: true;
}

/** Something that another process gave to this one, which owns it now. */
export interface Received {
  readonly [RECEIVED]: true;
}
