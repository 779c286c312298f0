/** How a process ended, and its words in messages, error details and records. */

/** As wait(2) tells it: one of the two is null. */
export interface ExitStatus {
  readonly code: number | null;
  /** Its name: `SIGSEGV`. */
  readonly signal: string | null;
}

/** `status 3`, or `signal SIGSEGV` for a process that a signal ended. */
export function exitText({ code, signal }: ExitStatus): string {
  return signal === null ? `status ${code}` : `signal ${signal}`;
}

/** The same for "the process ended …": `with status 3`, `by signal SIGSEGV`. */
export function howItEnded(exit: ExitStatus): string {
  return `${exit.signal === null ? "with" : "by"} ${exitText(exit)}`;
}
