/**
 * What a starting broker does with what an earlier one left behind: a pure decision over evidence that
 * broker/recovery/leftovers.ts gathers. First case that fits:
 *
 *    1. the record cannot be read (torn, of a later version, not ours)        leave   nobody knows what it means
 *    2. it names another broker's endpoint                                    leave   that broker may be alive
 *    3. a launch that was not finished                                        reap    nobody ever got its endpoint
 *    4. recorded in another boot                                              reap    nothing of that boot lives
 *    5. the process is gone                                                   reap    its helpers and files remain
 *    6. its number belongs to another process by now (start time differs)     reap    the stranger is not touched
 *    7. same process, another program (it replaced itself by exec)            leave   not what was launched, not a leftover
 *    8. it proved itself, or its endpoint is busy and the kernel vouches      adopt   busy is not wedged
 *    9. its endpoint is closed                                                reap    nobody can reach it
 *   10. its binary was replaced, or its endpoint answers as somebody else     reap    new clients must not get it
 *
 * "Reap" is never a signal to a pid: helpers are found by the launch's random endpoint in their environment, and a
 * process that lives (cases 9 and 10) is taken over only to be drained.
 */
export type LeftoverVerdict = "adopt" | "reap" | "leave";

export interface LeftoverEvidence {
  /** What the record is. */
  readonly record: "unreadable" | "launching" | "ready";
  /** Does it name the endpoint of this broker? */
  readonly ourBroker: boolean;
  readonly sameBoot: boolean;
  /** Who has the recorded pid now: identity is pid, start time and executable. */
  readonly process: "same" | "gone" | "another" | "other-program";
  /** What verification said; `untried` when there was nothing to verify. */
  readonly proof: "proved" | "busy" | "closed" | "refuted" | "untried";
}

export function classifyLeftover(evidence: LeftoverEvidence): LeftoverVerdict {
  if (evidence.record === "unreadable" || !evidence.ourBroker) return "leave";
  if (evidence.record === "launching" || !evidence.sameBoot) return "reap";
  switch (evidence.process) {
    case "gone":
    case "another":
      return "reap";
    case "other-program":
      return "leave";
    case "same":
      return evidence.proof === "proved" || evidence.proof === "busy" ? "adopt" : "reap";
  }
}
