/** How large files and rooms may be, and what is larger for the time being. */

export interface Limits {
  readonly linesPerFile: number;
  readonly filesPerRoom: number;
  /** For a room with `oneFileFor`. */
  readonly filesPerRoomOfOneKind: number;
  /** Written by a program. A path that ends with `/` is a whole folder. */
  readonly generated: readonly string[];
  /** Files of one long table, and why it is not cut. */
  readonly tables: Readonly<Record<string, string>>;
  readonly toBeSplit: ToBeSplit;
}

/** May only shrink: a number is the most that the entry may have, and an entry that is not needed any more is a fault. */
export interface ToBeSplit {
  /** Lines of files. */
  readonly files: Readonly<Record<string, number>>;
  /** Number of files in rooms, by names such as `platform/linux`. */
  readonly rooms: Readonly<Record<string, number>>;
  /** Imports between files that the rules forbid. */
  readonly imports: readonly (readonly [from: string, to: string])[];
}

export const LIMITS: Limits = {
  linesPerFile: 300,
  filesPerRoom: 14,
  filesPerRoomOfOneKind: 20,
  generated: ["src/wire/messages.ts", "test/support/gen/"],
  tables: {
    "src/base/errors.ts": "ERROR_TABLE: one row for each error code",
  },
  toBeSplit: {
    files: {},
    rooms: {},
    imports: [],
  },
};
