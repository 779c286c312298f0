/**
 * Small faults that the suite must find, each a plausible slip in another concept of the broker. `text` must be in the
 * sources exactly once, wherever its file lies; `tests` are names of files, with so much of their folders as tells them apart. A mutant that survives shows
 * a test that is missing: write it, do not choose another mutant. One whose text was reworded gets the new text.
 */
export const MUTANTS = [
  {
    name: "a peer of another user is told of and served all the same",
    text: 'return options.onOutcome({ type: "peer-rejected", pid, identity });',
    replacement: 'options.onOutcome({ type: "peer-rejected", pid, identity });',
    tests: ["peers.test.ts"],
  },
  {
    name: "a binary outside of its allow root is run",
    text: ' && !relative.startsWith("../")',
    replacement: "",
    tests: ["resolve-binary.test.ts"],
  },
  {
    name: "a version that an allow-list of one does not name passes",
    text: "policy.allowList.length > 0",
    replacement: "policy.allowList.length > 1",
    tests: ["version-policy.test.ts"],
  },
  {
    name: "one Hello more than the rate limit is let through",
    text: "if (window.used < limit) {",
    replacement: "if (window.used <= limit) {",
    tests: ["rate-limit.test.ts"],
  },
  {
    name: "a Hello does not join the launch of its key that is in progress",
    text: "    this.flights.set(id, { result, joined: 0 });\n",
    replacement: "",
    tests: ["activation.test.ts"],
  },
  {
    name: "a signal goes through a pidfd that was closed, and whose number is another process's by now",
    text: "this.open && pidfdSendSignal(",
    replacement: "pidfdSendSignal(",
    tests: ["process-handle.test.ts"],
  },
  {
    name: "a descriptor that was received is not close-on-exec",
    text: "MSG_CMSG_CLOEXEC | MSG_DONTWAIT",
    replacement: "MSG_DONTWAIT",
    tests: ["descriptor-passing.test.ts"],
  },
  {
    name: "a connection whose handoff was not acknowledged keeps two owners",
    text: 'if (severed) await tidy("sever", effects.sever, details);',
    replacement: "",
    tests: ["handoff-stages-faults.test.ts"],
  },
  {
    name: "an acknowledgement with another handoff's token counts",
    text: "if (!equalTokens(ack.token, offer.token))",
    replacement: "if (ack.token.length !== offer.token.length)",
    tests: ["handoff.test.ts"],
  },
  {
    name: "a socket file whose lock is held is removed as a leftover",
    text: "    if (hashed && lock === undefined) continue;\n",
    replacement: "",
    tests: ["sweep-endpoints.test.ts"],
  },
  {
    name: "a backend that has drained is not ended",
    text: 'drained: { to: "draining", effects: ["terminate"] },',
    replacement: 'drained: { to: "draining", effects: [] },',
    tests: ["backend-state.test.ts"],
  },
  {
    name: "events that were folded together count as one",
    text: "count: (bucket.held?.count ?? 0) + 1",
    replacement: "count: 1",
    tests: ["event-folding.test.ts"],
  },
  {
    name: "a Hello between two looks is no use of its backend",
    text: "if (hello !== lastHello || timeoutMs === undefined",
    replacement: "if (timeoutMs === undefined",
    tests: ["idle-watch.test.ts"],
  },
  {
    name: "a backend's log is emptied only when it is beyond its limit",
    text: "stuckBytes === undefined ? maxBytes * FULL",
    replacement: "stuckBytes === undefined ? maxBytes / FULL",
    tests: ["log-limit.test.ts"],
  },
  {
    name: "the shorter of two secrets is taken out first, and leaves the rest of the longer one",
    text: ".sort((a, b) => b.length - a.length)",
    replacement: ".sort((a, b) => a.length - b.length)",
    tests: ["redaction.test.ts"],
  },
  {
    name: "what another broker left behind is acted upon",
    text: 'evidence.record === "unreadable" || !evidence.ourBroker',
    replacement: 'evidence.record === "unreadable"',
    tests: ["classify-leftover.test.ts"],
  },
  {
    name: "the old broker accepts again before a new one that failed is gone",
    text: "      await successor.end();\n      activation.resume();\n      this.stay(keeper);\n",
    replacement: "      activation.resume();\n      this.stay(keeper);\n      await successor.end();\n",
    tests: ["succession/hot-restart.test.ts"],
  },
  {
    name: "an abort is said to have ended the caller's fallback, which was not begun",
    text: 'const NO_FALLBACK = ["ABORTED", "DISABLE_ENV_INVALID"] as const;',
    replacement: 'const NO_FALLBACK = ["DISABLE_ENV_INVALID"] as const;',
    tests: ["client/connect-fallback.test.ts"],
  },
  {
    name: "a version that is none becomes a label of the metrics",
    text: "isFull ? OTHER : asVersion(version)",
    replacement: "isFull ? OTHER : version",
    tests: ["metrics.test.ts"],
  },
  {
    name: "a client that begins above our protocol version is negotiated with",
    text: "hello.clientMinProtocol > PROTOCOL_VERSION || hello.clientMaxProtocol < PROTOCOL_VERSION",
    replacement: "hello.clientMinProtocol > PROTOCOL_VERSION && hello.clientMaxProtocol < PROTOCOL_VERSION",
    tests: ["model/negotiate.test.ts"],
  },
];
