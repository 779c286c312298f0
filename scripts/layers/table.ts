/**
 * Where the sources lie, and what each part may import: the one table behind the lint rules of biome.json, the code map of
 * docs/architecture.md (both written by generate.ts) and the check of every import (check.ts).
 */

/** A file or a folder of src, with everything below it. Rows stand above all that they may import. */
export interface Layer {
  /** Path below src. A name that ends with `.ts` is one file. */
  readonly name: string;
  readonly about: string;
  readonly mayNot?: string;
  /** Names of layers further down. */
  readonly mayImport: readonly string[];
  /** The only files of this layer that other layers may import; a path that ends with `/` is a whole folder. Default: all. */
  readonly doors?: readonly string[];
  /** Rooms, the highest floor first. A room imports itself and rooms on lower floors. Default: the layer is one room. */
  readonly floors?: readonly (readonly Room[])[];
}

export interface Room {
  /** A folder or a file of the layer. `TOP` is the room of all files that lie in the layer itself and are no room. */
  readonly name: string;
  readonly about: string;
  /** What each file of a room of many alike files is for, such as "a verb". It allows for more files. */
  readonly oneFileFor?: string;
}

export const TOP = ".";

export const LAYERS: readonly Layer[] = [
  {
    name: "cli",
    about: "the command lines: `rpb`, and one with the reference's flags",
    mayNot: "start or stop anything that the row of a verb does not allow (`ask/permissions.ts`)",
    mayImport: ["client", "broker", "exchange", "store", "platform", "model", "wire", "base"],
    floors: [
      [{ name: TOP, about: "the two programs, and the frame they run in" }],
      [{ name: "verbs", about: "the verbs of `rpb`", oneFileFor: "a verb" }],
      [
        { name: "verbs/service", about: "the verbs of `rpb service`" },
        { name: "compat", about: "the reference's command line" },
      ],
      [
        { name: "ask", about: "which broker a verb asks, the question, and the permission for it" },
        { name: "serve", about: "a broker in the foreground: its log, and the refusal to run as root" },
      ],
      [
        { name: "text", about: "answers as text for people" },
        { name: "shell", about: "the process: input, output, options, exit codes" },
      ],
    ],
  },
  {
    name: "index.ts",
    about: "entry `running-process-broker`: registering services, error codes",
    mayImport: ["store", "platform", "model", "wire", "base"],
  },
  {
    name: "testing",
    about: "what others need to test with us",
    mayImport: ["backend", "client", "broker", "exchange", "store", "platform", "model", "wire", "base"],
  },
  {
    name: "backend",
    about: "the SDK for daemons",
    mayNot: "see state before the endpoint is bound",
    mayImport: ["exchange", "store", "platform", "model", "wire", "base"],
  },
  {
    name: "client",
    about: "the client library",
    mayNot: "be heavy: koffi loads when the first socket is needed",
    mayImport: ["exchange", "store", "platform", "model", "wire", "base"],
  },
  {
    name: "broker",
    about: "the running broker",
    mayNot: "parse a backend's payload",
    mayImport: ["exchange", "store", "platform", "model", "wire", "base"],
    doors: ["index.ts", "internal.ts"],
    floors: [
      [{ name: TOP, about: "the entries, the options, the life of a broker, and how its parts are put together" }],
      [
        { name: "serving", about: "one connection: accepted, its request read, answered, closed" },
        { name: "recovery", about: "what earlier brokers left behind: adopted, ended or removed" },
      ],
      [
        { name: "hello", about: "a Hello, from the decoded frame to the reply" },
        { name: "admin", about: "the admin verbs and their bodies" },
        { name: "succession", about: "hot restart: the channel, and the other process as each side sees it" },
      ],
      [{ name: "activation", about: "the running backend of a key, or its launch; the budget of launches" }],
      [{ name: "supervisor", about: "the life of one backend: its table at work, its watches, its end" }],
      [{ name: "launch", about: "one launch: binary, endpoint, log, process, readiness, records on disk" }],
      [{ name: "control", about: "the control channel of one backend" }],
      [{ name: "handoff", about: "handing a connection over to a backend" }],
      [
        { name: "events", about: "what a broker says: typed events, the record of them, metrics" },
        { name: "endpoint", about: "the broker's own address: claimed, kept, given back" },
      ],
    ],
  },
  {
    name: "exchange",
    about: "conversations over a connection: frame I/O, identity probe, verification of a backend, admin client",
    mayNot: "decide policy",
    mayImport: ["platform", "model", "wire", "base"],
  },
  {
    name: "store",
    about:
      "files with meaning: service definitions, the record of lifecycle events, the broker's own log, logs that are followed",
    mayImport: ["platform", "model", "wire", "base"],
  },
  {
    name: "platform",
    about: "ports, and behind them sockets, processes, locks, files, host identity",
    mayNot: "be imported by anything but entries, other than its types",
    mayImport: ["model", "wire", "base"],
    doors: ["ports/index.ts", "platform.ts"],
    floors: [
      [{ name: TOP, about: "`platform.ts` chooses the system's adapter and loads it" }],
      [
        {
          name: "linux",
          about: "the adapter for Linux: what `posix/` is given by the system, host, inotify, file facts",
        },
      ],
      [{ name: "linux/processes", about: "spawning, /proc, pidfds, sockets of other processes" }],
      [
        { name: "linux/kernel", about: "the C library's calls that only Linux has, epoll sets" },
        {
          name: "posix/sockets",
          about: "Unix sockets: listening, connecting, transfers, passing descriptors, readiness",
        },
        { name: "posix/files", about: "private files and directories, locks, logs, endpoints as files" },
      ],
      [{ name: "posix", about: "the C library's calls, descriptors, the user" }],
      [{ name: "node", about: "what Node offers; portable" }],
      [
        { name: "ports", about: "what the rest of the project may ask of a system" },
        { name: "errno.ts", about: "failed system calls as coded errors" },
      ],
    ],
  },
  {
    name: "model",
    about:
      "names, places, service definitions, version policy, Hello checks, identity records, budgets, the table of a backend's life",
    mayNot: "do I/O; every file is tested without a mock",
    mayImport: ["wire", "base"],
  },
  {
    name: "wire",
    about: "framing, incremental decoder, messages generated from `proto/`, limits, registry of payload protocols",
    mayNot: "do I/O, know a clock",
    mayImport: ["base"],
  },
  {
    name: "base",
    about: "error table, what an errno says of a peer, clock port, deadlines",
    mayNot: "import anything of ours",
    mayImport: [],
  },
];
