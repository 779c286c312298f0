/**
 * Takes out of diagnostics what nobody outside should see (spec: admin §3.6): the user's home directory, secrets, and
 * who other users are. Pure, and linear in the length of the text, which peers and backends may have written.
 *
 * Structured values are better protected than text: their keys say what they are. So redact before rendering.
 */
export interface RedactionInputs {
  /** Absolute; empty: unknown. */
  readonly home: string;
  /** The environment whose secrets may have got somewhere. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A short name for an identity, the same each time on one machine and not reversible elsewhere. */
  readonly stableHash: (identity: string) => string;
}

export interface Redactor {
  text(text: string): string;
  /** A JSON value, all the way down. */
  value(value: unknown): unknown;
}

/** Words in a name that make its value a secret. Frozen. */
export const SECRET_WORDS = ["KEY", "TOKEN", "SECRET", "PASS"] as const;

const REDACTED = "[redacted]";
const SECRET_NAME = new RegExp(SECRET_WORDS.join("|"), "i");
/** Shorter values occur by chance; replacing those would make nonsense of everything else. */
const MIN_SECRET_CHARS = 6;
/** A longer text says nothing more to whoever reads the archive. */
const MAX_TEXT_CHARS = 4096;

/** `NAME=value`, `name: value`, `"name":"value"`. The bounds keep the search linear; looking at the beginning of a name only makes it fast. */
const NAMED_SECRET = new RegExp(
  `(?<![\\w.-])([\\w.-]{0,128}?(?:${SECRET_WORDS.join("|")})[\\w.-]{0,128}["']?\\s{0,4}[=:]\\s{0,4})("[^"]*"|'[^']*'|[^\\s,;&"']+)`,
  "gi",
);
const URL_USER = /:\/\/[^\s/@]{1,256}@/g;
const AUTHORIZATION = /\b(bearer|basic)\s{1,4}[\w+/=.~-]{6,}/gi;
const UID = /\b(uid )(\d+)/g;
const SID = /\bwindows-sid:[0-9a-f]+/g;
const OTHER_HOME = /(\/(?:home|Users)\/)[^/\s"']+/g;
/** Keys whose value names a user. */
const IDENTITY_KEYS: ReadonlySet<string> = new Set(["identity", "uid", "sid"]);

export function createRedactor({ home, env, stableHash }: RedactionInputs): Redactor {
  const secrets = secretValues(env);
  const homePattern =
    home.length > 1 ? new RegExp(`${escapePattern(home.replace(/\/+$/, ""))}(?![\\w.-])`, "g") : undefined;
  const identity = (text: string): string => `id-${stableHash(text)}`;

  const clean = (text: string): string => {
    let result = text;
    for (const secret of secrets) result = result.replaceAll(secret, REDACTED);
    result = result
      .replace(NAMED_SECRET, `$1${REDACTED}`)
      .replace(AUTHORIZATION, `$1 ${REDACTED}`)
      .replace(URL_USER, `://${REDACTED}@`);
    if (homePattern !== undefined) result = result.replace(homePattern, "~");
    return result
      .replace(OTHER_HOME, `$1${REDACTED}`)
      .replace(UID, (_, label: string, uid: string) => label + identity(uid))
      .replace(SID, identity);
  };

  const value = (given: unknown): unknown => {
    if (typeof given === "string") return clean(shorten(given));
    if (Array.isArray(given)) return given.map(value);
    if (typeof given !== "object" || given === null) return given;
    return Object.fromEntries(Object.entries(given).map(([key, inner]) => [key, field(key, inner)]));
  };
  const field = (key: string, inner: unknown): unknown => {
    const plain = typeof inner === "string" || typeof inner === "number";
    if (plain && IDENTITY_KEYS.has(key)) return identity(String(inner));
    return plain && SECRET_NAME.test(key) ? REDACTED : value(inner);
  };

  return { text: clean, value };
}

/** Is the value of a variable of this name a secret? */
function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}

/** Longest first: one may contain another. */
function secretValues(env: RedactionInputs["env"]): string[] {
  return Object.entries(env)
    .flatMap(([name, text]) =>
      text !== undefined && isSecretName(name) && text.length >= MIN_SECRET_CHARS ? [text] : [],
    )
    .sort((a, b) => b.length - a.length);
}

/** From the middle, so that both what it is about and how it ended stay. */
function shorten(text: string): string {
  if (text.length <= MAX_TEXT_CHARS) return text;
  const half = MAX_TEXT_CHARS / 2;
  return `${text.slice(0, half)} … ${text.length - 2 * half} characters … ${text.slice(-half)}`;
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
