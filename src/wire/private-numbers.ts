/**
 * Which numbers on frozen messages belong to this project (docs/protocol.md, "Private numbers"). The reference counts up
 * from the bottom of each message, so ours have a range of their own, far above: none of ours lies outside, and a number
 * of the reference never goes in. test/proto/private-numbers.test.ts holds proto/ against this.
 */
import { AdminVerb } from "./messages.ts";

/**
 * Field numbers and enum values in package `running_process.broker.v1`, both ends included. Up to 2047 the tag of a field
 * takes two bytes, as from 16 on; protobuf keeps 19000 to 19999 for itself.
 */
export const PRIVATE_NUMBERS = { first: 1000, last: 1999 } as const;

/** Bits of `Hello.client_capabilities` and `Negotiated.server_capabilities`, both ends included: the upper half. */
export const PRIVATE_CAPABILITY_BITS = { first: 32, last: 63 } as const;

/**
 * Verbs of ours by the numbers that they had below the range. They are answered with exit code 2 and the new number in all
 * versions 0.1, and from 0.2 on belong to the reference like all others below the range.
 */
export const MOVED_VERBS: ReadonlyMap<number, AdminVerb> = new Map([
  [22, AdminVerb.RELEASE_HANDLES],
  [23, AdminVerb.RESTART],
]);
