/**
 * Runs each subject again and again in this process, each time with the next call of the system failing, until it runs to
 * its end without meeting the failure. Prints one line of JSON: what was wrong, and how many failures each subject met.
 */
import { isBrokerError } from "../../../dist/base/errors.js";
import { arm, disarm } from "./faults.mjs";

/** One after the other by the number of the call: what a full table, a missing right, a broken disk and an absent file look like. */
const ERRNOS = ["EMFILE", "EACCES", "EIO", "ENOENT"];
/** Above every limit that a subject sets itself. */
const HANG_MS = 20_000;
const MOST_CALLS = 400;

const wrong = [];
const met = {};
let current = "";
const note = (what) => wrong.push(`${current}: ${what}`);

/** Throws what is not an answer in our own words. */
export function checkError(error) {
  if (!isBrokerError(error)) throw new Error(`no code: ${error?.stack}`);
  if (error.code === "INTERNAL") throw new Error(`INTERNAL: ${error.cause?.stack ?? error.stack}`);
}

/**
 * @param {Record<string, { run(): Promise<unknown>, reset?(): unknown }>} subjects `run` rejects with what is to be an error
 * of ours, or with what is wrong.
 */
export async function sweep(subjects) {
  process.on("uncaughtException", (error) => note(`uncaught: ${error?.stack}`));
  for (const [name, { run, reset = () => {} }] of Object.entries(subjects)) {
    met[name] = 0;
    current = `${name}, with no failure`;
    const usual = await settled(run);
    if (usual !== undefined) note(String(usual?.stack));
    await reset();
    for (let n = 1; ; n++) {
      const errno = ERRNOS[n % ERRNOS.length];
      arm(n, errno);
      const outcome = await Promise.race([settled(run), hang()]);
      const { calls, failed } = disarm();
      current = `${name}, call ${n} (${failed}: ${errno})`;
      if (outcome === "hang") note("it hangs");
      else if (outcome !== undefined) {
        try {
          checkError(outcome);
        } catch (error) {
          note(error.message);
        }
      }
      await reset(failed);
      if (calls < n) break;
      met[name] += 1;
      if (n === MOST_CALLS) note("it does not end");
      if (n === MOST_CALLS) break;
    }
  }
  process.stdout.write(`${JSON.stringify({ wrong, met })}\n`);
}

async function settled(run) {
  try {
    await run();
    return undefined;
  } catch (error) {
    return error ?? new Error("nothing was thrown");
  }
}

function hang() {
  return new Promise((resolve) => setTimeout(resolve, HANG_MS, "hang").unref());
}
