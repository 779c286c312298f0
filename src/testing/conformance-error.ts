/** Why a backend, client or recording does not conform. */

/**
 * `golden-mismatch`: bytes differ, are too few or too many. `identity-mismatch`: decoded fields, or the probed pid or
 * endpoint, differ. `probe`: the probe itself failed. `unexpected-verdict`: the mux judged a step otherwise.
 * `unexpected-mux-error`: the mux threw where it should not, or threw something else.
 */
export type ConformanceKind =
  | "golden-mismatch"
  | "identity-mismatch"
  | "probe"
  | "unexpected-verdict"
  | "unexpected-mux-error";

export class ConformanceError extends Error {
  readonly kind: ConformanceKind;

  constructor(kind: ConformanceKind, what: string, options: { cause?: unknown } = {}) {
    super(`${kind}: ${what}`, options);
    this.name = "ConformanceError";
    this.kind = kind;
  }
}
