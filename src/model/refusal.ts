/** Why a broker says no: the content of a Refused reply before it is encoded. */
import { type BrokerErrorCode, ERROR_TABLE, type ErrorRow } from "../base/errors.ts";

type CodesWithWire = {
  [C in BrokerErrorCode]: (typeof ERROR_TABLE)[C] extends { wire: number } ? C : never;
}[BrokerErrorCode];

/** Codes that have a number on the wire. */
export type RefusalCode = CodesWithWire;

export interface Refusal {
  readonly code: RefusalCode;
  /** Frozen text where the reference has one; tools look at it. */
  readonly reason: string;
  /** 0: no hint. */
  readonly retryAfterMs: number;
  /** Further facts for clients that read them; see docs/protocol.md. */
  readonly details: Readonly<Record<string, string>>;
}

export function refuse(
  code: RefusalCode,
  reason: string,
  more: { retryAfterMs?: number; details?: Record<string, string> } = {},
): Refusal {
  return { code, reason, retryAfterMs: more.retryAfterMs ?? 0, details: more.details ?? {} };
}

export function wireNumber(code: RefusalCode): number {
  const row: ErrorRow = ERROR_TABLE[code];
  return row.wire as number;
}
