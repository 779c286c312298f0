/**
 * Writes docs/errors.md from ERROR_TABLE; with `--check` it only compares and exits 1 when the file is stale.
 *
 *   node --import tsx scripts/errors-doc.ts [--check]
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ERROR_TABLE, type ErrorRow } from "../src/base/errors.ts";

const COMMAND = "node --import tsx scripts/errors-doc.ts";
const FILE = fileURLToPath(new URL("../docs/errors.md", import.meta.url));

/** Where sysexits.h has the meaning, the number is its. */
const EXIT_MEANINGS: Readonly<Record<number, string>> = {
  2: "wrong usage of the command line",
  69: "something that is needed is not available (`EX_UNAVAILABLE`)",
  70: "a fault inside this software (`EX_SOFTWARE`)",
  74: "a system call on a file or socket failed (`EX_IOERR`)",
  75: "temporary, try again (`EX_TEMPFAIL`)",
  76: "the other side does not follow the protocol (`EX_PROTOCOL`)",
  77: "not permitted (`EX_NOPERM`)",
  78: "wrong configuration: a name, a version, a path or a definition (`EX_CONFIG`)",
  124: "the time was up, as timeout(1) says it",
  130: "aborted by the caller, as shells show an interrupt",
};

const rows = Object.entries<ErrorRow>(ERROR_TABLE);

const rendered = `# Errors

<!-- Made from ERROR_TABLE in src/base/errors.ts by: ${COMMAND} -->

Every error that leaves this package is a \`BrokerError\`. Its \`code\` is one of the words below and stays what it is: codes
are added, never renamed and never given another meaning. The text of an error is for people and may change with any
release. So programs match codes:

\`\`\`ts
import { hasCode } from "running-process-broker";

try {
  // …
} catch (error) {
  if (hasCode(error, "RATE_LIMITED", "FD_PRESSURE")) await pause(error.details.retryAfterMs ?? 1000);
  else throw error;
}
\`\`\`

\`hasCode\` and \`isBrokerError\` recognise errors of another copy of the package as well, which \`instanceof\` does not.
\`error.details\` holds the facts that belong to a code, such as \`retryAfterMs\`, \`path\`, \`errno\`, \`pid\`, \`logTail\`, and
\`check\`: the field or check that failed. \`error.cause\` is what led to the error.

**Wire** is the number of \`ErrorCode\` in a \`Refused\` reply. A code without one never travels: it is found out by the side
that reports it.

**Retry** says whether the same call can succeed:

- \`never\`: not before somebody has changed something.
- \`later\`: after \`details.retryAfterMs\`, or after a second when there is none.
- \`now\`: at once, on a new connection.

**Mended by** names who can do something about it: the *caller* (the user or the program that calls), the *backend author*,
the *operator* of the machine, or *us*, the authors of this package.

**Exit** is the exit status of \`rpb\`:

| Exit | Meaning |
| ---: | --- |
${[...new Set(rows.map(([, row]) => row.exit))]
  .sort((a, b) => a - b)
  .map((exit) => `| ${exit} | ${meaningOf(exit)} |`)
  .join("\n")}

## All codes

| Code | Wire | Exit | Retry | Mended by | Meaning |
| --- | ---: | ---: | --- | --- | --- |
${rows.map(([code, row]) => `| \`${code}\` | ${row.wire ?? ""} | ${row.exit} | ${row.retry} | ${row.fix} | ${cell(row.about)} |`).join("\n")}
`;

if (process.argv.includes("--check")) {
  const current = existsSync(FILE) ? readFileSync(FILE, "utf8") : "";
  if (current !== rendered) {
    console.error(`docs/errors.md is not what ERROR_TABLE says; write it anew with: ${COMMAND}`);
    process.exitCode = 1;
  }
} else {
  mkdirSync(fileURLToPath(new URL("../docs", import.meta.url)), { recursive: true });
  writeFileSync(FILE, rendered);
}

function meaningOf(exit: number): string {
  const meaning = EXIT_MEANINGS[exit];
  if (meaning === undefined) throw new Error(`exit status ${exit} has no meaning in scripts/errors-doc.ts`);
  return meaning;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
